package simulate

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// again has a frame come of a stream or connection that is over, in a turn of its
// own: nothing may come of it.
func (n *node) again(m *message) {
	w, life := n.w, n.life
	s := m.again
	w.after(w.dice.within(s, 3*time.Second), func() {
		if n.life != life || n.turn == nil {
			return
		}
		w.strike(s, true, "%s comes to %v again", frameText(&m.frame), n)
		var in fsm.Input = fsm.Arrived{Conn: m.conn, Stream: m.stream, Frame: m.frame, Payload: n.payloadOf(m)}
		if m.frame.Kind != wire.Hello && m.frame.PayloadSize() > wire.MaxInline {
			in = fsm.Offered{Conn: m.conn, Stream: m.stream, Frame: m.frame}
		}
		wrote, alive := n.alone(in)
		answers := slices.DeleteFunc(sends(n.did), func(s fsm.Send) bool {
			return s.Frame.Kind == wire.Hello // which was due, and is no answer
		})
		if alive && (wrote || len(answers) > 0) {
			w.breaks(OldChangesNothing, "%s, of a stream that is over, has %v write or send something: %v", frameText(&m.frame), n, answers)
		}
	})
}

// forge has a frame come to the other end that means another exchange by a number
// that is known there, or acknowledges another answer: nothing may come of it.
func (e *end) forge(s spot, f wire.Frame) {
	n, to := e.node, e.other.node
	w := n.w
	of := fsm.Name{Dialer: n.id, Tag: f.Tag}
	switch {
	case f.Kind == wire.Request || f.Kind == wire.Resume:
		f.Low = 0 // which is no news
		switch w.dice.oneOf(s, 3) {
		case 0:
			f.Tag[0] ^= 1
		case 1:
			f.Hash[0] ^= 1
		default:
			f.Lane += "?"
		}
	case f.Kind == wire.Ack && f.Of == wire.OfReply:
		of.Tag = to.asked[number{n.id, f.Epoch, f.Seq}]
		f.Hash[0] ^= 1
	default:
		return
	}
	life := to.life
	w.after(w.dice.within(s, 2*time.Second), func() {
		if to.life == life && to.turn != nil && w.clean(n, to) {
			to.forged(s, n, of, f)
		}
	})
}

// outdate has a frame come again, on its own stream and with that still in use, as if
// it were of an older epoch: nothing may come of it.
func (e *end) outdate(s spot, h *half, f wire.Frame) {
	n, to := e.node, e.other.node
	w, life, stream := n.w, to.life, h.other.id
	of := fsm.Name{Dialer: n.id, Tag: f.Tag}
	switch {
	case f.Epoch < 2 || f.Kind == wire.Hello || f.Kind == wire.Welcome:
		return
	case f.Kind == wire.Reply || f.Kind == wire.Reject && f.Of == wire.OfRequest:
		of.Dialer = to.id
	case f.Of == wire.OfRequest || f.Of == wire.OfCancel:
		of = fsm.Name{Dialer: to.id, Tag: to.carries[stream]}
	case f.Of == wire.OfReply:
		of.Tag = to.asked[number{n.id, f.Epoch, f.Seq}]
	}
	f.Epoch--
	w.after(w.dice.within(s, 2*time.Second), func() {
		if to.life == life && to.turn != nil && w.clean(n, to) {
			to.outOfDate(s, e.other.id, stream, of, f)
		}
	})
}

// outOfDate lets a frame of an older epoch in, if what it is about is open here.
func (n *node) outOfDate(s spot, conn fsm.Conn, stream fsm.Stream, of fsm.Name, f wire.Frame) {
	w := n.w
	if !n.quiet() {
		return
	}
	h := n.half(conn, stream)
	before, open := n.turn.Machine.Exchange(of)
	if h == nil || !h.end.greeted && of.Dialer != n.id || h.offered != nil || h.sending || h.other.sending || !open || !before.Ended.IsZero() || of.Dialer == n.id && n.bound[of.Tag] != stream {
		return
	}
	w.strike(s, true, "%v gets %s of an older epoch", n, frameText(&f))
	all := n.turn.Machine.Exchanges()
	n.outdated = true
	wrote, alive := n.alone(fsm.Arrived{Conn: conn, Stream: stream, Frame: f, Payload: fsm.Payload{Hash: f.Hash, Size: int64(f.PayloadSize())}})
	n.outdated = false
	if !alive {
		return
	}
	if after := n.turn.Machine.Exchanges(); wrote || !reflect.DeepEqual(all, after) {
		w.breaks(OldChangesNothing, "%s, of an epoch that is over, changes what %v has:\n%+v\n%+v", frameText(&f), n, all, after)
	}
	for _, s := range sends(n.did) {
		if s.Stream != stream || s.Frame.Kind != wire.Reject || s.Frame.Refusal != wire.Fenced && s.Frame.Refusal != wire.Ended {
			w.breaks(OldChangesNothing, "%v answers %s, of an epoch that is over, with %s", n, frameText(&f), frameText(&s.Frame))
		}
	}
}

// forged lets a forged frame in, if it means something that is open here.
func (n *node) forged(s spot, from *node, of fsm.Name, f wire.Frame) {
	w := n.w
	if !n.quiet() {
		return
	}
	before, open := n.turn.Machine.Exchange(of)
	var on *end
	for _, e := range n.ends {
		if e.open && e.other.node == from {
			on = e
		}
	}
	if !open || !before.Ended.IsZero() || on == nil || f.Kind == wire.Ack && before.Responder != fsm.Replying {
		return
	}
	w.strike(s, true, "%v gets a forged %s", n, frameText(&f))
	n.streams += 2
	stream := fsm.Stream(n.streams + 1)
	n.forging = true
	wrote, alive := n.alone(fsm.Arrived{Conn: on.id, Stream: stream, Frame: f, Payload: fsm.Payload{Hash: f.Hash, Size: int64(f.PayloadSize())}})
	n.forging = false
	if !alive {
		return
	}
	if after, open := n.turn.Machine.Exchange(of); !open || wrote || !reflect.DeepEqual(before, after) {
		w.breaks(NumberMeansOne, "a forged %s changes what %v has:\n%+v\n%+v", frameText(&f), n, before, after)
	}
	for _, s := range sends(n.did) {
		if f.Kind == wire.Ack || s.Stream != stream || s.Frame.Kind != wire.Reject || s.Frame.Refusal != wire.Mismatch {
			w.breaks(NumberMeansOne, "%v answers a forged %s with %s", n, frameText(&f), frameText(&s.Frame))
		}
	}
	n.post(fsm.Closed{Conn: on.id, Stream: stream})
}

func sends(actions []fsm.Action) []fsm.Send {
	var all []fsm.Send
	for _, a := range actions {
		if s, ok := a.(fsm.Send); ok {
			all = append(all, s)
		}
	}
	return all
}

// misbehave breaks the rules with a frame: another kind, number, tag or hash.
func (e *end) misbehave(f wire.Frame) wire.Frame {
	w := e.node.w
	s := w.dice.next(Misbehaved, uint64(e.node.index))
	if !w.chance(s, 0.2) {
		return f
	}
	was, bits := f, w.dice.bits(s, 4)
	switch w.dice.oneOf(s, 10) {
	case 0:
		f.Seq += 1 + bits%3
	case 1:
		f.Seq -= min(f.Seq, 1+bits%3)
	case 2:
		f.Epoch += bits % 5
	case 3:
		f.Epoch -= min(f.Epoch, bits%5)
	case 4:
		f.Tag[bits%16] ^= byte(bits>>8) | 1
	case 5:
		f.Hash[bits%32] ^= byte(bits>>8) | 1
	case 6:
		f.Low += bits % 70_000
	case 7:
		f.Next += bits % 70_000
	case 8:
		f.Lane = string(rune('a' + bits%3))
	default:
		f = wire.Frame{Kind: 1 + wire.Kind(bits%10), Of: wire.Of(bits >> 8 % 4), Epoch: f.Epoch, Seq: f.Seq, Tag: f.Tag, Hash: f.Hash, Refusal: wire.Refusal(bits >> 16 % 6)}
	}
	if _, err := f.AppendTo(nil); err != nil || f.PayloadSize() > 0 != (was.PayloadSize() > 0) {
		return was
	}
	w.strike(s, true, "%v sends %s for %s", e.node, frameText(&f), frameText(&was))
	return f
}

// unreadable is a payload that isn't what its frame says: the P2P protocol blames
// its sender. Only the rogue can have sent it.
func (e *end) unreadable(m *message) {
	if !e.other.node.rogue {
		e.node.w.breaks(DeliveredAsMade, "a frame carries another payload than its hash says: %s", frameText(&m.frame))
		return
	}
	id := e.id
	e.sever(errors.New("payload that isn't what its hash says"), false)
	e.node.post(fsm.Violated{Conn: id, Rule: "payload that isn't what its hash says"})
}
