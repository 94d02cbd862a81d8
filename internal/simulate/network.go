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

// end is one node's end of a connection. The two ends break apart from each
// other: what one has sent may still arrive after it thinks that all is over.
type end struct {
	node  *node
	other *end
	id    fsm.Conn
	open  bool // this end knows of nothing wrong
	order []*half
}

// half is one end's view of a stream, both ways.
type half struct {
	end     *end
	id      fsm.Stream
	other   *half
	open    bool
	arrives time.Time // of the last thing sent to this end: order is kept
	offered *message  // a large payload that hasn't been read
	sending bool      // a large payload of this end is on its way
}

type message struct {
	frame wire.Frame
	body  []byte
}

func (n *node) act(a fsm.Action) {
	w := n.w
	switch a := a.(type) {
	case fsm.Dial:
		n.dial(a)
	case fsm.Send:
		w.note("%v -> %s", n, describe(a))
		if e := n.find(a.Conn); e != nil {
			e.send(a)
		}
	case fsm.Accept:
		if h := n.half(a.Conn, a.Stream); h != nil && h.offered != nil {
			h.accept()
		}
	case fsm.Reset:
		if h := n.half(a.Conn, a.Stream); h != nil {
			h.end.close(h)
			h.tellReset()
		}
	case fsm.Disconnect:
		if e := n.find(a.Conn); e != nil {
			e.disconnect(a.Graceful)
		}
	}
}

func (n *node) find(id fsm.Conn) *end {
	for _, e := range n.ends {
		if e.id == id && e.open {
			return e
		}
	}
	return nil
}

func (n *node) half(conn fsm.Conn, stream fsm.Stream) *half {
	if e := n.find(conn); e != nil {
		for _, h := range e.order {
			if h.id == stream && h.open {
				return h
			}
		}
	}
	return nil
}

func (n *node) dial(a fsm.Dial) {
	w := n.w
	life := n.life
	var other *node
	for _, o := range w.nodes {
		if o.id == a.Peer {
			other = o
		}
	}
	failed := w.chance(w.config.Faults.DialErr)
	w.after(time.Millisecond+w.within(50*time.Millisecond), func() {
		if n.life != life || n.turn == nil {
			return
		}
		if failed || other.turn == nil || other.unlisted[n] || n.unlisted[other] {
			n.post(fsm.DialFailed{Peer: a.Peer, Err: errors.New("refused")})
			return
		}
		w.nextID++
		here := &end{node: n, id: fsm.Conn(w.nextID), open: true}
		w.nextID++
		there := &end{node: other, id: fsm.Conn(w.nextID), open: true, other: here}
		here.other = there
		n.ends, other.ends = append(n.ends, here), append(other.ends, there)
		w.note("%v dials %v: connections %d, %d", n, other, here.id, there.id)
		n.post(fsm.Connected{Conn: here.id, Peer: other.id, Dialed: true, Address: "there"})
		other.post(fsm.Connected{Conn: there.id, Peer: n.id, Address: "here"})
	})
}

// send carries a frame to the other end, in the order of its stream.
func (e *end) send(a fsm.Send) {
	w := e.node.w
	w.result.Frames++
	e.checkCodec(a.Frame)
	h := e.node.half(a.Conn, a.Stream)
	if h == nil {
		if a.Stream%2 != 0 {
			return // its end has been told, or will be
		}
		for _, old := range e.order {
			if old.id == a.Stream {
				return
			}
		}
		h = &half{end: e, id: a.Stream, open: true}
		e.other.node.streams += 2
		h.other = &half{end: e.other, id: fsm.Stream(e.other.node.streams + 1), other: h, open: true}
		e.order = append(e.order, h)
		e.other.order = append(e.other.order, h.other)
	}
	m := &message{frame: a.Frame}
	if a.Frame.PayloadSize() > 0 {
		m.body = a.Payload.Inline
		if m.body == nil {
			var found bool
			if m.body, found = e.node.log.payload(a.Payload.Number); !found {
				w.note("%v: payload %d is gone", e.node, a.Payload.Number)
				e.close(h)
				h.tellReset()
				e.node.post(fsm.Closed{Conn: e.id, Stream: h.id})
				return
			}
		}
	}
	if a.Frame.Kind == wire.Nack || a.Frame.Kind == wire.Reject {
		h.offered = nil
	}
	if w.chance(w.config.Faults.Break) {
		e.sever(errors.New("broken"))
		return
	}
	if w.chance(w.config.Faults.Reset) {
		e.close(h)
		h.tellReset()
		e.node.post(fsm.Closed{Conn: e.id, Stream: h.id})
		return
	}
	large := a.Frame.Kind != wire.Hello && a.Frame.PayloadSize() > wire.MaxInline
	h.sending = h.sending || large
	h.other.deliver(func(to *half) { to.receive(m, large) })
}

// deliver has something happen at this end, after all that was sent before it.
func (h *half) deliver(do func(*half)) {
	w := h.end.node.w
	at := w.now.Add(100*time.Microsecond + w.within(20*time.Millisecond))
	if at.Before(h.arrives) {
		at = h.arrives
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
	if f := m.frame; f.Kind == wire.Request || f.Kind == wire.Resume {
		e.node.asked[number{e.other.node.id, f.Epoch, f.Seq}] = f.Tag
	}
	if large {
		h.offered = m
		e.node.post(fsm.Offered{Conn: e.id, Stream: h.id, Frame: m.frame})
		return
	}
	p := fsm.Payload{Hash: m.frame.Hash, Size: int64(m.frame.PayloadSize())}
	if m.body != nil {
		p.Inline = m.body
		if m.frame.Kind != wire.Hello {
			p.Number = e.node.log.number()
		}
		if wire.Hash(sha256.Sum256(m.body)) != m.frame.Hash {
			e.node.w.breaks("a frame carries another payload than its hash says: %+v", m.frame)
		}
	}
	e.node.post(fsm.Arrived{Conn: e.id, Stream: h.id, Frame: m.frame, Payload: p})
	if h.sending && (m.frame.Kind == wire.Nack || m.frame.Kind == wire.Reject) {
		e.close(h) // its own large payload was refused
		h.tellReset()
		e.node.post(fsm.Closed{Conn: e.id, Stream: h.id})
	}
}

// accept reads the large payload that was offered.
func (h *half) accept() {
	m := h.offered
	h.offered = nil
	h.deliver(func(h *half) {
		e := h.end
		h.other.sending = false
		p := fsm.Payload{Hash: m.frame.Hash, Size: int64(m.frame.Size), Number: e.node.log.number()}
		e.node.log.large(p.Number, m.body)
		e.node.post(fsm.Arrived{Conn: e.id, Stream: h.id, Frame: m.frame, Payload: p})
	})
}

// close ends a stream at this end.
func (e *end) close(h *half) {
	h.open = false
	e.order = slices.DeleteFunc(e.order, func(other *half) bool { return other == h })
}

// tellReset tells the other end that the stream is no more.
func (h *half) tellReset() {
	h.other.deliver(func(to *half) {
		to.end.close(to)
		to.end.node.post(fsm.Closed{Conn: to.end.id, Stream: to.id})
	})
}

// sever breaks the connection: this end knows now, the other later, and takes
// meanwhile what is still in flight.
func (e *end) sever(err error) {
	w := e.node.w
	if e.open {
		e.open = false
		e.node.post(fsm.Disconnected{Conn: e.id, Err: err})
	}
	w.after(w.within(3*time.Second), func() {
		if o := e.other; o.open {
			o.open = false
			o.node.post(fsm.Disconnected{Conn: o.id, Err: err})
		}
	})
}

// disconnect closes the connection; gracefully once all that was sent has come.
func (e *end) disconnect(graceful bool) {
	w := e.node.w
	if !graceful {
		e.sever(errors.New("closed at once"))
		return
	}
	wait := time.Millisecond
	for _, h := range e.order {
		wait = max(wait, h.other.arrives.Sub(w.now)+time.Millisecond)
	}
	w.after(wait, func() {
		if e.open {
			e.open = false
			clean := e.other.open && e.other.node.turn != nil
			e.node.post(fsm.Disconnected{Conn: e.id, Clean: clean})
			if e.other.open {
				e.other.open = false
				e.other.node.post(fsm.Disconnected{Conn: e.other.id})
			}
		}
	})
}

// checkCodec sees that every frame can be encoded, and comes back as it was.
func (e *end) checkCodec(f wire.Frame) {
	bytes, err := f.AppendTo(nil)
	if err != nil {
		e.node.w.breaks("%v sends a frame that has no encoding: %v: %+v", e.node, err, f)
		return
	}
	skip := 1
	if bytes[0] >= 0x80 {
		skip = 2
	}
	if back, err := wire.DecodeHeader(bytes[skip:]); err != nil || back != f {
		e.node.w.breaks("a frame comes back as another: %v: %+v, %+v", err, f, back)
	}
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
