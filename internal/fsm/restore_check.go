package fsm

import (
	"fmt"

	"github.com/parley-p2p/parley/internal/wire"
)

// lastSequence is the greatest number of an exchange, as the wire has it.
const lastSequence = 1<<63 - 1

// place gives the record that was read last its place among the others. One that has
// none can be read and doesn't belong to them: no promise can be kept on such records,
// so the peer that they are about is halted before anything is done with it. (What
// damage does to a record, the journal finds by its sum.)
func (r *Restorer) place(k []byte) error {
	var p *peer
	var name Name
	var wrong string
	switch k[0] {
	case dialerKey:
		p = r.m.peer(Peer(k[1:]))
		wrong = p.dialer.contradiction()
	case responderKey:
		p = r.m.peer(Peer(k[1:]))
		wrong = p.responder.contradiction()
	case endedKey:
		p = r.m.peer(Peer(k[1 : len(k)-8]))
		if p.responder.epoch == 0 {
			wrong = "ends of a peer of which nothing is known"
		}
	case outboundKey:
		x := r.outs[len(r.outs)-1]
		p, name = x.peer, x.name
		if p.id == "" || p.id == name.Dialer {
			return fmt.Errorf("key %x: %w: an exchange with nobody", k, ErrContradicts)
		}
		wrong = r.placeOutbound(x)
	case inboundKey:
		y := r.ins[len(r.ins)-1]
		p, name = y.peer, y.name
		if wrong = y.contradiction(); wrong == "" {
			r.m.enterInbound(y)
		}
	}
	if wrong != "" {
		r.tear(p, name, k, wrong)
	}
	return nil
}

func (r *Restorer) placeOutbound(x *outbound) string {
	open := x.outcome == 0 || x.state == Cancelling && x.epoch == x.peer.dialer.epoch
	if wrong := x.contradiction(open); wrong != "" || !open {
		return wrong
	}
	n := number{x.peer, x.seq}
	if _, twice := r.open[n]; twice {
		return fmt.Sprintf("exchange %d is there twice", x.seq)
	}
	r.open[n] = struct{}{}
	lane := laneOf{x.peer, x.lane}
	s, found := r.lanes[lane]
	if !found || x.seq < s.first {
		s.first = x.seq
	}
	if x.sent {
		s.sent = max(s.sent, x.seq)
	}
	r.lanes[lane] = s
	if s.sent > s.first {
		return fmt.Sprintf("exchange %d went out before %d, the first of its lane", s.sent, s.first)
	}
	return ""
}

// number is an exchange as its peer and this node, as dialer, know it.
type number struct {
	peer *peer
	seq  uint64
}

// laneOf is a lane of one peer, stretch what has been read of it: the first number
// that is open in it, and the last that went out.
type (
	laneOf struct {
		peer *peer
		lane string
	}
	stretch struct{ first, sent uint64 }
)

func (d *dialerSide) contradiction() string {
	switch {
	case d.next < 1 || d.next > lastSequence:
		return "the next number is none"
	case d.epoch == 0 && d.next > 1:
		return "numbers were given, and there is no epoch"
	}
	return ""
}

func (r *responderSide) contradiction() string {
	switch {
	case r.epoch == 0:
		return "a responder without an epoch"
	case r.ended.low < 1 || r.ended.low > lastSequence+1: // a peer may have ended them all
		return "the lowest number is none"
	}
	return ""
}

// contradiction sees that an exchange made here has its place: what this node knows as
// dialer to its peer was read before.
func (x *outbound) contradiction(open bool) string {
	d := &x.peer.dialer
	if wrong := x.contradictsItself(); wrong != "" {
		return wrong
	}
	switch {
	case !open && (x.committed || x.payload.Number != 0):
		return "an exchange that is over and isn't gone"
	case open && (x.seq < 1 || x.seq >= d.next || d.next-x.seq > wire.MaxOpen):
		return fmt.Sprintf("exchange %d is open, the next is %d", x.seq, d.next)
	case x.outcome == 0 && x.epoch != d.epoch:
		return "an open exchange of another epoch"
	}
	return ""
}

// contradictsItself is what is wrong with an exchange whatever the others are.
func (x *outbound) contradictsItself() string {
	switch {
	case x.outcome != 0 && (x.outcome < Answered || x.outcome > Cancelled):
		return "an outcome that is none"
	case (x.reply.Number != 0 || x.reply.Size != 0) && x.outcome != Answered:
		return "a reply to an exchange that isn't answered"
	case x.outcome == 0 && x.committed:
		return "an open exchange whose outcome is committed"
	}
	return ""
}

// contradiction sees that an exchange that a peer made has its place: what this node knows
// as responder to the peer was read before.
func (y *inbound) contradiction() string {
	r := &y.peer.responder
	waits := y.state == Stored
	switch {
	case r.epoch == 0:
		return "an exchange of a peer of which nothing is known"
	case y.seq < 1 || y.seq >= r.ended.low+wire.MaxOpen:
		return fmt.Sprintf("exchange %d is open, the lowest is %d", y.seq, r.ended.low)
	case r.ended.has(y.seq):
		return fmt.Sprintf("exchange %d is open and has ended", y.seq)
	case r.open[y.seq] != nil:
		return fmt.Sprintf("exchange %d is there twice", y.seq)
	case waits && r.lanes[y.lane] != nil:
		return "two unanswered requests in a lane"
	case waits && (y.reply.Number != 0 || y.reply.Size != 0 || y.refusal != 0):
		return "an answer to a request that isn't answered"
	case !waits && y.payload.Number != 0:
		return "an answered request that is kept"
	case y.state == Refused && y.refusal != wire.TooLarge && y.refusal != wire.Policy:
		return "a refusal that is none"
	case y.state == Replying && y.refusal != 0 && y.refusal != wire.Policy:
		return "an answer that is none"
	case y.state != Stored && y.state != Replying && y.state != Refused:
		return "an open exchange in no state"
	}
	return ""
}
