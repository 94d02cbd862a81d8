package simulate

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// message is a frame on its way.
type message struct {
	frame  wire.Frame
	body   []byte
	stream fsm.Stream // at the receiver
	conn   fsm.Conn
	number uint64 // of its connection
	again  spot   // why a copy was kept
}

// send carries a frame to the other end, in the order of its stream, if nothing
// happens to it.
func (e *end) send(a fsm.Send) {
	n := e.node
	w := n.w
	w.result.Frames++
	if n.rogue {
		a.Frame = e.misbehave(a.Frame)
	}
	e.checkCodec(a.Frame)
	h := e.stream(a.Stream)
	if h == nil {
		return
	}
	e.sent++
	m := &message{frame: a.Frame, stream: h.other.id, conn: e.other.id, number: e.sent}
	if !e.load(m, h, a.Payload) {
		return
	}
	if a.Frame.Kind == wire.Nack || a.Frame.Kind == wire.Reject {
		h.offered = nil
	}
	f, way := &w.config.Faults, w.way(n, e.other.node)
	s := w.dice.next(latency, way.place)
	w.stamp(6, way.place, uint64(a.Frame.Kind)|uint64(a.Frame.Of)<<8|uint64(a.Frame.Refusal)<<16, a.Frame.Epoch, a.Frame.Seq, digest(a.Frame.Tag[:]), digest(a.Frame.Hash[:]))
	switch {
	case e.dead || h.dead:
		w.result.FramesCut++
		return
	case w.chance(s.as(Broke), f.Break):
		w.strike(s.as(Broke), true, "a connection of %v to %v breaks with %v", n, e.other.node, a.Frame.Kind)
		e.sever(errors.New("broken"), w.halfOpens(s))
		return
	case w.chance(s.as(WasReset), f.Reset):
		w.strike(s.as(WasReset), true, "a stream of %v to %v is reset with %v", n, e.other.node, a.Frame.Kind)
		e.close(h)
		h.tellReset()
		n.post(fsm.Closed{Conn: e.id, Stream: h.id})
		return
	case w.chance(s.as(Lost), f.Lose):
		w.strike(s.as(Lost), true, "a stream of %v to %v loses %v and all after it", n, e.other.node, a.Frame.Kind)
		h.dead = true
		return
	case w.chance(s.as(Holed), f.Hole):
		w.strike(s.as(Holed), true, "a connection of %v to %v goes silent with %v", n, e.other.node, a.Frame.Kind)
		e.silence(w.dice.within(s.as(Holed), 40*time.Second))
		return
	}
	if d := s.as(Duplicated); w.chance(d, f.Duplicate) {
		kept := *m
		kept.again = d
		h.other.stale = append(h.other.stale, kept)
	}
	if g := s.as(Forged); w.chance(g, f.Forge) {
		e.forge(g, a.Frame)
	}
	if g := s.as(Outdated); w.chance(g, f.Forge) {
		e.outdate(g, h, a.Frame)
	}
	late := time.Duration(0)
	if d := s.as(Delayed); w.chance(d, f.Delay) {
		late = w.dice.within(d, 10*time.Second)
		w.strike(d, true, "%v of %v to %v is %.3f s late", a.Frame.Kind, n, e.other.node, late.Seconds())
	}
	large := a.Frame.Kind != wire.Hello && a.Frame.PayloadSize() > wire.MaxInline
	h.sending = h.sending || large
	h.other.flying++
	h.other.deliver(late, func(to *half) { to.receive(m, large) })
}

func (w *world) halfOpens(s spot) bool {
	s = s.as(HalfOpened)
	if !w.chance(s, w.config.Faults.HalfOpen) {
		return false
	}
	w.strike(s, true, "the other end learns of it much later")
	return true
}

// stream is this end's half of a stream; it is opened when it is this node's own
// and new.
func (e *end) stream(id fsm.Stream) *half {
	for _, h := range e.order {
		if h.id == id {
			if h.open {
				return h
			}
			return nil
		}
	}
	if id%2 != 0 || e.past[id] {
		return nil // its end has been told, or will be
	}
	h := &half{end: e, id: id, open: true}
	e.other.node.streams += 2
	h.other = &half{end: e.other, id: fsm.Stream(e.other.node.streams + 1), other: h, open: true}
	e.order = append(e.order, h)
	e.other.order = append(e.other.order, h.other)
	return h
}

// load gives a message its payload; false when that is gone.
func (e *end) load(m *message, h *half, p fsm.Payload) bool {
	if m.frame.PayloadSize() == 0 {
		return true
	}
	m.body = p.Inline
	if m.body == nil {
		var found bool
		if m.body, found = e.node.log.payload(p.Number); !found {
			e.node.w.note("%v: payload %d is gone", e.node, p.Number)
			e.close(h)
			h.tellReset()
			e.node.post(fsm.Closed{Conn: e.id, Stream: h.id})
			return false
		}
	}
	return true
}

// deliver has something happen at this end, after all that was sent before it.
func (h *half) deliver(late time.Duration, do func(*half)) {
	w := h.end.node.w
	way := w.way(h.other.end.node, h.end.node)
	at := w.now.Add(100*time.Microsecond + late + w.dice.within(w.dice.next(latency, way.place), 20*time.Millisecond))
	for _, not := range []time.Time{h.arrives, way.cutUntil} {
		if at.Before(not) {
			at = not
		}
	}
	h.arrives = at
	w.after(at.Sub(w.now), func() {
		if h.open && h.end.open && h.end.node.turn != nil {
			do(h)
		}
	})
}

func (h *half) receive(m *message, large bool) {
	e := h.end
	n := e.node
	h.flying--
	if m.number < e.come {
		n.w.result.Overtaken++
	}
	e.come = max(e.come, m.number)
	e.greeted = e.greeted || m.frame.Kind == wire.Hello
	if f := m.frame; f.Kind == wire.Request || f.Kind == wire.Resume {
		n.asked[number{e.other.node.id, f.Epoch, f.Seq}] = f.Tag
	}
	if !hashed(m) {
		e.unreadable(m)
		return
	}
	if large {
		h.offered = m
		n.post(fsm.Offered{Conn: e.id, Stream: h.id, Frame: m.frame})
		return
	}
	n.post(fsm.Arrived{Conn: e.id, Stream: h.id, Frame: m.frame, Payload: n.payloadOf(m)})
	if h.sending && (m.frame.Kind == wire.Nack || m.frame.Kind == wire.Reject) {
		e.close(h) // its own large payload was refused
		h.tellReset()
		n.post(fsm.Closed{Conn: e.id, Stream: h.id})
	}
}

// payloadOf is the payload of a message as the P2P protocol hands it on, verified.
func (n *node) payloadOf(m *message) fsm.Payload {
	p := fsm.Payload{Hash: m.frame.Hash, Size: int64(m.frame.PayloadSize())}
	if m.body == nil {
		return p
	}
	p.Inline = m.body
	if m.frame.Kind != wire.Hello {
		p.Number = n.log.number()
	}
	return p
}

// accept reads the large payload that was offered.
func (h *half) accept() {
	m := h.offered
	h.offered = nil
	h.deliver(0, func(h *half) {
		e := h.end
		h.other.sending = false
		p := fsm.Payload{Hash: m.frame.Hash, Size: int64(m.frame.Size), Number: e.node.log.number()}
		e.node.log.large(p.Number, p.Size, m.body)
		e.node.post(fsm.Arrived{Conn: e.id, Stream: h.id, Frame: m.frame, Payload: p})
	})
	if w := h.end.node.w; w.dice.oneOf(w.dice.next(latency, uint64(h.end.node.index)), 4) == 0 {
		h.end.node.post(fsm.Progress{Conn: h.end.id, Stream: h.id})
	}
}

// close ends a stream at this end.
func (e *end) close(h *half) {
	h.open = false
	h.over()
	e.past[h.id] = true
	e.order = slices.DeleteFunc(e.order, func(other *half) bool { return other == h })
}

// over counts what a stream's end has lost, and has come again what is to.
func (h *half) over() {
	e := h.end
	e.node.w.result.FramesCut += h.flying
	h.flying = 0
	for i := range h.stale {
		e.node.again(&h.stale[i])
	}
	h.stale = nil
}

// tellReset tells the other end that the stream is no more.
func (h *half) tellReset() {
	h.other.deliver(0, func(to *half) {
		to.end.close(to)
		to.end.node.post(fsm.Closed{Conn: to.end.id, Stream: to.id})
	})
}

// checkCodec sees that every frame can be encoded, and comes back as it was.
func (e *end) checkCodec(f wire.Frame) {
	bytes, err := f.AppendTo(nil)
	if err != nil {
		e.node.w.breaks(DeliveredAsMade, "%v sends a frame that has no encoding: %v: %+v", e.node, err, f)
		return
	}
	skip := 1
	if bytes[0] >= 0x80 {
		skip = 2
	}
	if back, err := wire.DecodeHeader(bytes[skip:]); err != nil || back != f {
		e.node.w.breaks(DeliveredAsMade, "a frame comes back as another: %v: %+v, %+v", err, f, back)
	}
}

// hashed is whether a body has the hash that its frame gives it.
func hashed(m *message) bool {
	return m.body == nil || wire.Hash(sha256.Sum256(m.body)) == m.frame.Hash
}

func describe(x any) string {
	switch x := x.(type) {
	case fsm.Arrived:
		return fmt.Sprintf("%d/%d %s", x.Conn, x.Stream, frameText(&x.Frame))
	case fsm.Offered:
		return fmt.Sprintf("%d/%d offered %s", x.Conn, x.Stream, frameText(&x.Frame))
	case fsm.Send:
		return fmt.Sprintf("%d/%d %s", x.Conn, x.Stream, frameText(&x.Frame))
	case fsm.Enqueue:
		return fmt.Sprintf("enqueue %x to %s, lane %q", x.Requests[0].Tag[:3], x.Requests[0].Peer, x.Requests[0].Lane)
	case fsm.Respond:
		return fmt.Sprintf("respond %x", x.Name.Tag[:3])
	default:
		return fmt.Sprintf("%T %+v", x, x)
	}
}

func frameText(f *wire.Frame) string {
	s := fmt.Sprintf("%v seq %d of %v epoch %d", f.Kind, f.Seq, f.Of, f.Epoch%100000)
	if f.Refusal != 0 {
		s += " " + f.Refusal.String()
	}
	if f.Kind == wire.Hello || f.Kind == wire.Welcome {
		s += fmt.Sprintf(" next %d", f.Next)
	}
	return s
}
