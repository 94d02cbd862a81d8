package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// ConnState is where a connection stands. (Disconnected and dialing are states
// of the peer: there is no connection then.)
type ConnState uint8

const (
	ConnUp      ConnState = iota + 1 // exchanges run on it; closes when idle, without progress, or at a violation
	ConnClosing                      // the P2P protocol was told to close it; its Disconnected is awaited
)

// connection is one connection with a peer. Exchanges are bound to its streams;
// their state isn't, and outlives it.
type connection struct {
	id      Conn
	peer    *peer
	dialed  bool // by this node, which also closes it
	address string
	state   ConnState

	helloSent    bool    // by this node as dialer, ahead of its first REQUEST
	helloPending int     // HELLOs whose WELCOME is awaited
	helloStream  *stream // of the last HELLO, whose WELCOME comes on it
	helloLost    bool    // with its stream: it is sent again, since requests may wait for it
	greeted      bool    // the peer's HELLO has come: its requests may be taken
	held         []Input // until then: at most two for each stream, and maxHeld bytes
	heldSince    time.Time
	heldBytes    int

	streams  map[Stream]*stream // at most twice MaxStreamsPerConnection, and maxGone
	gone     []Stream           // the last maxGone that ended
	owned    int                // streams opened by this node
	parkable []*outbound        // acknowledged on it, the oldest first: their streams can be had when there are no others; at most MaxStreamsPerConnection
	idle     []*stream          // those without an exchange; one for each stream at most

	progress  time.Time // when anything last moved
	idleSince time.Time // zero while an exchange is open
	leaving   bool      // it is being closed gracefully
	blamed    bool      // it is closed since its peer broke a rule, on this connection or another
	useful    bool      // something was acknowledged on it
	timer     timer
}

// maxGone bounds the ended streams that a connection remembers, so that a frame
// of one that is still on its way doesn't begin it anew. Beyond it the one that
// ended first is forgotten.
const maxGone = 1024

// stream is one stream of a connection and the exchange that it carries.
type stream struct {
	id    Stream
	conn  *connection
	out   *outbound // bound to, as dialer
	in    *inbound  // bound to, as responder
	spent bool      // a payload on it was refused: it can carry nothing more
}

// own reports whether this node opened the stream.
func (s *stream) own() bool { return s.id%2 == 0 }

// carriesOther reports whether the stream is another exchange's than x's.
func (s *stream) carriesOther(x *outbound) bool {
	return s.in != nil || s.out != nil && s.out != x
}

func (m *Machine) connected(now time.Time, in Connected) {
	if m.crowded(in.Peer) {
		m.notice(Notice{Kind: ConnectionLimit, Peer: in.Peer, Address: in.Address, Detail: fmt.Sprintf("maxPeers: %d peers are known", maxPeers), Time: now})
		m.act(Disconnect{Conn: in.Conn})
		return
	}
	p := m.peer(in.Peer)
	c := &connection{id: in.Conn, peer: p, dialed: in.Dialed, address: in.Address, state: ConnUp, progress: now, streams: map[Stream]*stream{}}
	c.timer.owner = c
	m.conns[in.Conn] = c
	p.conns = append(p.conns, c)
	if in.Dialed {
		p.dialing = false
	}
	m.touch(p)
	if !p.listed || !m.keptOut(p.id, now).IsZero() {
		m.hangUp(c, false)
		return
	}
	p.responder.unreachable = false
	c.arm(m, now)
	for _, x := range p.dialer.heads() {
		if x.stream == nil && !x.waitsByItself() {
			m.start(now, x)
		}
	}
	m.awaitResume(now, p)
}

func (m *Machine) disconnected(now time.Time, in Disconnected) {
	c := m.conns[in.Conn]
	if c == nil {
		return
	}
	p := c.peer
	delete(m.conns, c.id)
	p.conns = slices.DeleteFunc(p.conns, func(other *connection) bool { return other == c })
	m.wakeAt(&c.timer, time.Time{})
	m.touch(p)
	lost := p.dialer.on(c)
	for _, s := range c.inOrder() {
		m.gone(now, s)
	}
	inOrder := in.Clean || in.Err == nil && c.state == ConnUp
	switch {
	case c.leaving: // nothing was left to do on it
	case c.useful && (inOrder || !p.busy()): // a request of ours may have met the peer's closing
		p.failures = 0
	case !p.busy(): // the peer had something to say, and has said it
	case c.useful:
		p.failures = 1
	default:
		p.failures++
	}
	if inOrder && p.dialer.unconfirmed && len(p.conns) == 0 && len(p.dialer.open) == 0 {
		p.dialer.unconfirmed = false // the peer had read the last acknowledgement
		m.save(&p.dialer)
	}
	p.dialer.confirm = p.dialer.confirm || !inOrder && p.dialer.unconfirmed
	m.moveOn(now, p, lost)
}

// moveOn goes on with what a lost connection carried: on another when there is
// one, else all that is open waits until there is.
func (m *Machine) moveOn(now time.Time, p *peer, lost []*outbound) {
	d := &p.dialer
	if p.usable() == nil {
		d.waiting = nil // for a stream
		for _, x := range d.heads() {
			if x.stream == nil && !x.waitsByItself() {
				m.interrupted(now, x)
			}
		}
		return
	}
	for _, x := range lost {
		if x.state != Suspended && x.state != Halted {
			m.start(now, x)
		}
	}
}

// on is the exchanges bound to a connection, in order of their numbers.
func (d *dialerSide) on(c *connection) []*outbound {
	var bound []*outbound
	for _, s := range c.inOrder() {
		if x := s.out; x != nil && x.stream == s {
			bound = append(bound, x)
		}
	}
	slices.SortFunc(bound, bySeq)
	return bound
}

// inOrder is a connection's streams in order of their numbers.
func (c *connection) inOrder() []*stream {
	return slices.SortedFunc(maps.Values(c.streams), func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
}

// closed is the end of a stream by the peer or by a failure.
func (m *Machine) closed(now time.Time, in Closed) {
	if s := m.streams[in.Stream]; s != nil {
		m.touch(s.conn.peer)
		x := s.out
		m.gone(now, s)
		if x != nil && s.conn.state == ConnUp {
			m.interrupted(now, x)
		}
	}
}

// gone forgets a stream that is no more, and what it carried loses it.
func (m *Machine) gone(now time.Time, s *stream) {
	c := s.conn
	delete(m.streams, s.id)
	delete(c.streams, s.id)
	c.gone = append(c.gone[max(0, len(c.gone)-maxGone):], s.id)
	s.occupy()
	c.held = slices.DeleteFunc(c.held, func(in Input) bool { return streamOf(in) == s.id })
	if s.own() {
		c.owned--
	}
	if s == c.helloStream && c.helloPending > 0 {
		c.helloSent, c.helloLost, c.helloPending, c.helloStream = false, true, 0, nil
	}
	if x := s.out; x != nil {
		s.out = nil
		if x.stream == s {
			x.stream = nil
		}
		if x.reading == s {
			m.stopReading(x)
		}
	}
	if y := s.in; y != nil {
		s.in = nil
		m.lostStream(now, y)
	}
}

// reset ends a stream that can't be used for another exchange.
func (m *Machine) reset(now time.Time, s *stream) {
	if s == nil || m.streams[s.id] != s {
		return
	}
	if s.conn.state == ConnUp {
		m.act(Reset{Conn: s.conn.id, Stream: s.id})
	}
	m.gone(now, s)
}

// take is a stream of this node's to send on: one whose exchange has ended, else
// a new one; nil at the limit.
func (m *Machine) take(now time.Time, c *connection) *stream {
	var s *stream
	if last := len(c.idle) - 1; last >= 0 {
		s = c.idle[last]
		c.idle = c.idle[:last]
	} else {
		if c.owned >= m.config.MaxStreams && !m.park(now, c) {
			return nil
		}
		m.lastStream += 2
		s = &stream{id: m.lastStream, conn: c}
		m.streams[s.id], c.streams[s.id] = s, s
		c.owned++
	}
	m.hello(s)
	return s
}

// free keeps a stream whose exchange has ended by the rules for the next one.
func (m *Machine) free(s *stream) {
	s.out, s.in = nil, nil
	if s.own() && !s.spent && m.streams[s.id] == s && !slices.Contains(s.conn.idle, s) {
		s.conn.idle = append(s.conn.idle, s)
		m.touch(s.conn.peer)
	}
}

// spend marks a stream that can carry nothing more: a payload on it is unread.
func (m *Machine) spend(s *stream, unread bool) {
	if unread {
		s.spent = true
		s.occupy()
	}
}

// occupy takes a stream from among the idle ones.
func (s *stream) occupy() {
	s.conn.idle = slices.DeleteFunc(s.conn.idle, func(other *stream) bool { return other == s })
}

// find is the stream that a frame came on.
func (m *Machine) find(c *connection, id Stream) *stream {
	s := m.streams[id]
	if s == nil {
		if id%2 == 0 || slices.Contains(c.gone, id) {
			return nil // reset by this node meanwhile
		}
		if len(c.streams) >= 4*m.config.MaxStreams+maxGone {
			m.hangUp(c, false) // of streams so many have ended, and come again unnoticed
			return nil
		}
		s = &stream{id: id, conn: c}
		m.streams[id], c.streams[id] = s, s
	}
	return s
}

func (m *Machine) send(s *stream, f wire.Frame, p Payload) {
	if s.conn.state == ConnUp && m.streams[s.id] == s {
		m.act(Send{Conn: s.conn.id, Stream: s.id, Frame: f, Payload: p})
	}
}

// hangUp has a connection closed. What it carried is told by its Disconnected.
func (m *Machine) hangUp(c *connection, graceful bool) {
	m.disconnect(c, Disconnect{Conn: c.id, Graceful: graceful})
}

func (m *Machine) disconnect(c *connection, how Disconnect) {
	if c.state == ConnUp {
		m.closing(c, how.Graceful)
		m.act(how)
	}
}

// closing marks a connection that the P2P protocol closes. Unless that is done
// gracefully nothing more goes to the peer, not even what this turn had for it.
func (m *Machine) closing(c *connection, graceful bool) {
	c.state, c.leaving = ConnClosing, graceful
	c.held = nil
	m.wakeAt(&c.timer, time.Time{})
	if !graceful {
		m.ready.Actions = slices.DeleteFunc(m.ready.Actions, func(a Action) bool {
			s, ok := a.(Send)
			return ok && s.Conn == c.id
		})
	}
}

// refused reports whether a NACK or REJECT goes out on the stream in this turn.
func (m *Machine) refused(s *stream) bool {
	return slices.ContainsFunc(m.ready.Actions, func(a Action) bool {
		send, ok := a.(Send)
		return ok && send.Stream == s.id && (send.Frame.Kind == wire.Nack || send.Frame.Kind == wire.Reject)
	})
}

// moved notes that the connection proved to be of use.
func (c *connection) moved(now time.Time) { c.progress = now }

func (m *Machine) progress(now time.Time, in Progress) {
	c, s := m.conns[in.Conn], m.streams[in.Stream]
	if c == nil || s == nil || c.state != ConnUp {
		return
	}
	c.moved(now)
	if x := s.out; x != nil && (x.state == Sending || x.reading == s) {
		x.retryAt(m, now.Add(m.config.AckTimeout))
	}
	if y := s.in; y != nil && y.state == Replying {
		y.wake(m, now.Add(m.config.AckTimeout))
	}
}

// DisconnectAll closes every connection at once: the node can't go on.
func (m *Machine) DisconnectAll() []Action {
	var actions []Action
	for _, p := range m.inOrder() {
		for _, c := range p.conns {
			actions = append(actions, Disconnect{Conn: c.id})
		}
	}
	return actions
}
