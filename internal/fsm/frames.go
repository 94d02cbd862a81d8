package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// arrived takes a whole frame to the role that it is for. A large payload is in
// the journal already: unless it is kept, it is dropped.
func (m *Machine) arrived(now time.Time, in Arrived) {
	m.kept = 0
	m.dispatch(now, in)
	if p := in.Payload; p.Number != 0 && p.Inline == nil && m.kept != p.Number {
		m.drop(&p)
	}
}

func (m *Machine) dispatch(now time.Time, in Arrived) {
	c := m.conns[in.Conn]
	if c == nil || c.state != ConnUp {
		return // a frame of a connection that is over changes nothing
	}
	m.touch(c.peer)
	c.moved(now)
	if m.hold(now, c, in, in.Frame.Kind) {
		return
	}
	s := m.find(c, in.Stream)
	if s == nil {
		return
	}
	f := &in.Frame
	if s.own() && byDialer(f.Kind) {
		m.violate(now, c, f.Kind.String()+" on a stream that the other side opened")
		return
	}
	switch f.Kind {
	case wire.Hello:
		m.helloArrived(now, s, f, in.Payload)
	case wire.Request, wire.Resume:
		m.requestArrived(now, s, f, in.Payload, false)
	case wire.Cancel:
		m.cancelArrived(now, s, f)
	case wire.Welcome:
		m.welcomeArrived(now, s, f)
	case wire.Continue:
		m.continueArrived(now, s, f)
	case wire.Reply:
		m.replyArrived(now, s, f, in.Payload, false)
	case wire.Ack, wire.Nack, wire.Reject:
		m.verdictArrived(now, s, f)
	default:
		m.violate(now, c, "a frame of an unknown type")
	}
}

// verdictArrived takes an ACK, NACK or REJECT to the side whose message it is about.
func (m *Machine) verdictArrived(now time.Time, s *stream, f *wire.Frame) {
	if f.Of == wire.OfReply {
		m.verdictOnReply(now, s, f)
		return
	}
	switch f.Kind {
	case wire.Ack:
		m.ackArrived(now, s, f)
	case wire.Nack:
		m.nackArrived(now, s, f)
	case wire.Reject:
		m.rejectArrived(now, s, f)
	}
}

// offered decides on a large payload before any of it is read.
func (m *Machine) offered(now time.Time, in Offered) {
	c := m.conns[in.Conn]
	if c == nil || c.state != ConnUp {
		return
	}
	m.touch(c.peer)
	c.moved(now)
	if m.hold(now, c, in, in.Frame.Kind) {
		return
	}
	s := m.find(c, in.Stream)
	if s == nil {
		return
	}
	switch {
	case m.refused(s): // and the refusal would be taken for this payload's
		m.violate(now, c, "a large payload before the answer to the frame before it")
	case in.Frame.Kind == wire.Reply:
		m.replyArrived(now, s, &in.Frame, Payload{}, true)
	case s.own():
		m.violate(now, c, "REQUEST on a stream that the other side opened")
	default:
		m.requestArrived(now, s, &in.Frame, Payload{}, true)
	}
}

// hold keeps a dialer's frame until its HELLO has come on the connection, which
// may travel on another stream: it says what has ended, and so what is in order.
func (m *Machine) hold(now time.Time, c *connection, in Input, kind wire.Kind) bool {
	if c.greeted || kind == wire.Hello || !byDialer(kind) {
		return false
	}
	before := 0
	for _, other := range c.held {
		if streamOf(other) == streamOf(in) {
			before++
		}
	}
	if before > 1 { // a REQUEST and its CANCEL are all that a dialer can have to say
		m.violate(now, c, "a third frame on a stream without HELLO")
		return true
	}
	if m.find(c, streamOf(in)) == nil {
		return true
	}
	if len(c.held) == 0 {
		c.heldSince = now
	}
	if c.heldBytes += InlineBytes(in); c.heldBytes > maxHeld {
		m.reset(now, m.streams[streamOf(in)]) // its dialer resumes it
		return true
	}
	c.held = append(c.held, in)
	return true
}

// byDialer reports whether a frame begins something: only the side that opened
// a stream sends such on it.
func byDialer(kind wire.Kind) bool {
	return kind == wire.Hello || kind == wire.Request || kind == wire.Resume || kind == wire.Cancel
}

// maxHeld bounds the payloads of frames that wait for the HELLO of their connection,
// in bytes. Beyond it their streams are reset, and their dialer resumes.
const maxHeld = 1 << 20

// release takes the frames that waited for the HELLO.
func (m *Machine) release(now time.Time, c *connection) {
	held := c.held
	c.held, c.heldBytes = nil, 0
	for _, in := range held {
		switch in := in.(type) {
		case Arrived:
			m.arrived(now, in)
		case Offered:
			m.offered(now, in)
		}
	}
}

func streamOf(in Input) Stream {
	switch in := in.(type) {
	case Arrived:
		return in.Stream
	case Offered:
		return in.Stream
	}
	return 0
}
