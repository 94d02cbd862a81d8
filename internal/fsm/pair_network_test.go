package fsm

import (
	"fmt"
	"slices"

	"github.com/parley-p2p/parley/internal/wire"
)

// endpoint is one side's end of a connection. The ends break apart from each other:
// what one has sent may still come after it thinks that all is over.
type endpoint struct {
	id       Conn
	side     *side
	other    *endpoint
	open     bool
	closing  bool // the machine wants it closed
	graceful bool
	streams  []*halfStream // open
}

// halfStream is one end's view of a stream.
type halfStream struct {
	id       Stream
	endpoint *endpoint
	other    *halfStream
	open     bool
	inbox    []letter // on its way to this end, in order
	offered  *letter  // a large payload that hasn't been read
	sending  bool     // a large payload of this end is on its way
}

// letter is a frame on its way, or the end of a stream.
type letter struct {
	frame
	reset    bool
	accepted bool // its large payload was asked for
}

// do carries out one action.
func (s *side) do(a Action) {
	if m := s.pair.mallory; m != nil && m.at == s {
		m.sees(a)
	}
	switch a := a.(type) {
	case Dial:
		s.dials = append(s.dials, a.Peer)
	case Send:
		s.send(a)
	case Accept:
		if h := s.stream(a.Conn, a.Stream); h != nil && h.offered != nil {
			h.offered.accepted, h.other.sending = true, false
			h.inbox = slices.Insert(h.inbox, 0, *h.offered)
			h.offered = nil
		}
	case Reset:
		if h := s.stream(a.Conn, a.Stream); h != nil {
			h.end()
			h.other.inbox = append(h.other.inbox, letter{reset: true})
		}
	case Disconnect:
		if e := s.endpoint(a.Conn); e != nil {
			e.closing, e.graceful = true, a.Graceful
		}
	}
}

func (s *side) endpoint(id Conn) *endpoint {
	for _, e := range s.ends {
		if e.id == id && e.open {
			return e
		}
	}
	return nil
}

func (s *side) stream(id Conn, stream Stream) *halfStream {
	if e := s.endpoint(id); e != nil {
		for _, h := range e.streams {
			if h.id == stream {
				return h
			}
		}
	}
	return nil
}

func (s *side) send(a Send) {
	e := s.endpoint(a.Conn)
	if e == nil {
		return
	}
	s.checkSaid(a.Frame, s.other.id)
	if a.Payload.Number != 0 && !s.payloads[a.Payload.Number] {
		s.pair.fail("%s sends %s, whose payload is gone", s.id, frameName(a.Frame))
	}
	if _, err := a.Frame.AppendTo(nil); err != nil {
		s.pair.fail("%s sends %s, which nobody takes: %v", s.id, frameName(a.Frame), err)
	}
	h := s.stream(a.Conn, a.Stream)
	if h == nil {
		if a.Stream%2 == 1 {
			return // it has ended, which this side is about to hear
		}
		h = e.opens(a.Stream)
	}
	if a.Frame.Kind == wire.Nack || a.Frame.Kind == wire.Reject {
		h.offered = nil
	}
	h.sending = h.sending || a.Frame.Kind != wire.Hello && a.Frame.PayloadSize() > wire.MaxInline
	h.other.inbox = append(h.other.inbox, letter{frame: frame{a.Frame, a.Payload.Inline}})
}

// opens is a new stream, opened by this end.
func (e *endpoint) opens(id Stream) *halfStream {
	e.other.side.in += 2
	h := &halfStream{id: id, endpoint: e, open: true}
	h.other = &halfStream{id: e.other.side.in, endpoint: e.other, open: true, other: h}
	e.streams = append(e.streams, h)
	e.other.streams = append(e.other.streams, h.other)
	return h
}

func (h *halfStream) end() {
	h.open = false
	h.endpoint.streams = slices.DeleteFunc(h.endpoint.streams, func(other *halfStream) bool { return other == h })
}

// receive brings something that is on its way to this side, of any stream.
func (s *side) receive() {
	var waiting []*halfStream
	for _, e := range s.ends {
		for _, h := range e.streams {
			if len(h.inbox) > 0 {
				waiting = append(waiting, h)
			}
		}
	}
	if len(waiting) > 0 {
		s.bring(waiting[s.pair.choose(len(waiting))])
	}
}

// bring reports the next letter of a stream as the P2P protocol does.
func (s *side) bring(h *halfStream) {
	l := h.inbox[0]
	switch {
	case l.reset:
		h.end()
		s.take(Closed{Conn: h.endpoint.id, Stream: h.id})
	case l.Kind != wire.Hello && l.PayloadSize() > wire.MaxInline && !l.accepted:
		h.inbox = h.inbox[1:]
		h.offered = &l
		s.take(Offered{Conn: h.endpoint.id, Stream: h.id, Frame: l.Frame})
	default:
		h.inbox = h.inbox[1:]
		s.take(s.arrived(h.endpoint.id, h.id, l.frame))
		if h.open && h.sending && (l.Kind == wire.Nack || l.Kind == wire.Reject) {
			s.loses(h) // its own large payload was refused
		}
	}
}

// loses ends a stream at both ends, apart from each other.
func (s *side) loses(h *halfStream) {
	h.end()
	h.other.inbox = append(h.other.inbox, letter{reset: true})
	s.take(Closed{Conn: h.endpoint.id, Stream: h.id})
}

func (s *side) meet() { s.meets() }

// meets answers a dial with a connection; false: none was asked for.
func (s *side) meets() bool {
	if len(s.dials) == 0 {
		return false
	}
	to := s.dials[0]
	s.dials = s.dials[1:]
	if to == mallory {
		s.take(DialFailed{Peer: to, Err: errAbsent})
		return true
	}
	s.pair.conns += 2
	here := &endpoint{id: s.pair.conns, side: s, open: true}
	there := &endpoint{id: s.pair.conns + 1, side: s.other, open: true, other: here}
	here.other = there
	s.ends, s.other.ends = append(s.ends, here), append(s.other.ends, there)
	s.take(Connected{Conn: here.id, Peer: s.other.id, Dialed: true, Address: "there"})
	s.other.take(Connected{Conn: there.id, Peer: s.id, Address: "here"})
	return true
}

func (s *side) refuseDial() {
	if len(s.dials) > 0 {
		to := s.dials[0]
		s.dials = s.dials[1:]
		s.take(DialFailed{Peer: to, Err: errAbsent})
	}
}

func (s *side) close() { s.closed() }

// closed ends a connection that the machine wants closed; false: there is none.
func (s *side) closed() bool {
	for _, e := range s.ends {
		if !e.open || !e.closing {
			continue
		}
		unread := slices.ContainsFunc(append(slices.Clone(e.streams), e.other.streams...), func(h *halfStream) bool { return len(h.inbox) > 0 || h.offered != nil })
		if !e.graceful || unread {
			s.sever(e, errBroken)
			return true
		}
		clean := e.other.open
		e.open = false
		s.take(Disconnected{Conn: e.id, Clean: clean})
		if e.other.open {
			e.other.open = false
			s.other.take(Disconnected{Conn: e.other.id})
		}
		return true
	}
	return false
}

func (s *side) breaks() {
	if e := s.anyEndpoint(); e != nil {
		s.sever(e, errBroken)
	}
}

func (s *side) anyEndpoint() *endpoint {
	open := slices.DeleteFunc(slices.Clone(s.ends), func(e *endpoint) bool { return !e.open })
	if len(open) == 0 {
		return nil
	}
	return open[s.pair.choose(len(open))]
}

// sever breaks a connection at this end. The other end hears of it later, and
// takes meanwhile what is still on its way.
func (s *side) sever(e *endpoint, err error) {
	e.open = false
	s.take(Disconnected{Conn: e.id, Err: err})
}

func (s *side) notices() { s.noticed() }

// noticed has this side hear of a connection whose other end is gone; false:
// there is none.
func (s *side) noticed() bool {
	for _, e := range s.ends {
		if e.open && !e.other.open {
			s.sever(e, fmt.Errorf("noticed: %w", errBroken))
			return true
		}
	}
	return false
}

func (s *side) streamBreaks() {
	if e := s.anyEndpoint(); e != nil && len(e.streams) > 0 {
		s.loses(e.streams[s.pair.choose(len(e.streams))])
	}
}
