package fsm

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// newEpoch is a numbering era later than the last one: the clock's milliseconds,
// so that a new journal comes after a lost one, but never a step back with the
// clock. 63 bits.
func newEpoch(now time.Time, last uint64) uint64 {
	return max(uint64(max(now.UnixMilli(), 1)), last+1)
}

// maxEpoch bounds the epochs that peers may name: far beyond every clock's
// milliseconds, with room for those that are raised over it. A later one is a
// violation.
const maxEpoch = 1 << 62

// maxSilent bounds the exchanges that end without the responder's hearing of them,
// so that it needn't keep as many holes. Beyond it a HELLO tells.
const maxSilent = 1024

// hello puts a HELLO ahead of the first frame that this node, as dialer, sends
// on a connection: all that isn't listed in it and has a number below the next
// is over.
func (m *Machine) hello(s *stream) {
	c := s.conn
	d := &c.peer.dialer
	if c.helloSent || d.epoch == 0 || d.halt != nil {
		return
	}
	var open []uint64
	for _, x := range d.inOrder() {
		if x.state == Cancelling {
			x.omitted = c
		} else {
			open = append(open, x.seq)
		}
	}
	list := wire.AppendOpen(nil, open)
	payload := Payload{Hash: sha256.Sum256(list), Size: int64(len(list)), Inline: list}
	// Another connection's WELCOME, still awaited, must not stand for what this
	// one tells.
	d.endedSinceHello = c.peer.awaitsWelcome()
	c.helloSent, c.helloLost, c.helloStream = true, false, s
	c.helloPending++
	d.silent, d.confirm = 0, false
	m.send(s, wire.Frame{Kind: wire.Hello, Epoch: d.epoch, Next: d.next, Hash: payload.Hash, Size: uint64(payload.Size)}, payload)
}

// awaitsWelcome reports whether a HELLO on any connection is unanswered.
func (p *peer) awaitsWelcome() bool {
	return slices.ContainsFunc(p.conns, func(c *connection) bool { return c.helloPending > 0 })
}

// helloAlone sends a HELLO that no request gave occasion to.
func (m *Machine) helloAlone(now time.Time, c *connection) {
	if s := m.take(now, c); s != nil {
		m.free(s)
	}
}

// tendHello sends a HELLO where one is due and no request carries it: on the
// connection in use, and where one was lost.
func (m *Machine) tendHello(now time.Time, c *connection) {
	d := &c.peer.dialer
	if d.silent > maxSilent && c.helloPending == 0 {
		c.helloSent = false
		d.confirm = true
	}
	if d.confirm && d.halt == nil && !c.helloSent {
		m.helloAlone(now, c)
	}
	for _, c := range c.peer.conns { // on any of them requests may wait for it
		if c.helloLost && c.state == ConnUp && d.halt == nil {
			m.helloAlone(now, c)
		}
	}
}

// welcomeArrived: the responder has taken in what the HELLO said.
func (m *Machine) welcomeArrived(now time.Time, s *stream, f *wire.Frame) {
	c, d := s.conn, &s.conn.peer.dialer
	if f.Epoch != d.epoch || d.halt != nil {
		return
	}
	if c.helloPending == 0 {
		m.violate(now, c, "WELCOME without HELLO")
		return
	}
	c.helloPending--
	c.useful = true
	if f.Next >= d.next { // it has seen a number that was never given
		m.halt(now, c.peer, ErrRolledBack, Name{})
		return
	}
	for _, x := range d.inOrder() {
		if x.state == Cancelling && x.omitted == c {
			m.unbind(now, x)
			m.confirmed(now, x)
		}
	}
	if d.unconfirmed && !d.endedSinceHello {
		d.unconfirmed = false
		m.save(d)
	}
}

// fenced: the peer knows a later epoch of this node's. If nothing was ever
// acknowledged in ours, then the journal is new and the clock was set back: the
// epoch is raised over the known one, once. Otherwise somebody else has the key.
func (m *Machine) fenced(now time.Time, p *peer, known uint64) {
	d := &p.dialer
	if known > d.known {
		d.known = known
		m.save(d)
	}
	if d.halt == nil && !d.acked && !d.adopted {
		m.renew(now, p, known+1)
		d.adopted = true
		return
	}
	m.halt(now, p, ErrFenced, Name{})
}

// halt stops everything that this node does towards a peer as dialer, until the
// operator renews. What the peer asks of this node isn't touched by it.
func (m *Machine) halt(now time.Time, p *peer, reason error, name Name) {
	d := &p.dialer
	if d.halt != nil {
		return
	}
	d.halt = reason
	m.save(d)
	m.sync() // or a restart would go on where the operator was told that it stops
	for _, x := range d.inOrder() {
		m.unbind(now, x)
		x.waiting = false
		x.become(Halted)
		x.retryAt(m, time.Time{})
	}
	d.waiting = nil
	for _, c := range p.conns {
		c.helloPending = 0
	}
	m.notice(Notice{Kind: haltNotice(reason), Peer: p.id, Address: p.address(), Name: name, Detail: reason.Error(), Time: now})
	m.touch(p)
}

func haltNotice(reason error) NoticeKind {
	switch {
	case errors.Is(reason, ErrRolledBack):
		return JournalRolledBack
	case errors.Is(reason, ErrMismatch):
		return PeerMismatch
	default:
		return PeerFenced
	}
}

// renewByOperator starts a new epoch: what is open keeps its name, gets a new
// number and is marked as possibly seen.
func (m *Machine) renewByOperator(now time.Time, in Renew) {
	p := m.peers[in.Peer]
	if p == nil || p.dialer.epoch == 0 && p.dialer.halt == nil {
		m.answer(in.Call, ErrUnknown)
		return
	}
	if p.torn != nil {
		m.mend(now, p)
		m.answer(in.Call, nil)
		return
	}
	for _, x := range p.dialer.open {
		x.possiblySeen = x.possiblySeen || x.wrote
	}
	m.renew(now, p, newEpoch(now, max(p.dialer.epoch, p.dialer.known)))
	p.dialer.adopted = false
	m.answer(in.Call, nil)
}

// renew numbers everything that is open anew, in its order, in a later epoch.
// The first frame of that epoch ends all older ones at the responder, so that
// what is being cancelled is over.
func (m *Machine) renew(now time.Time, p *peer, epoch uint64) {
	d := &p.dialer
	open := d.inOrder()
	for _, x := range open {
		m.unbind(now, x)
		x.waiting = false
	}
	d.epoch, d.next, d.low = epoch, 1, 1
	d.acked, d.halt, d.silent, d.unacknowledged = false, nil, 0, 0
	d.waiting = nil
	clear(d.open)
	clear(d.lanes)
	for _, x := range open {
		m.renumber(now, x)
	}
	m.save(d)
	m.sync()
	for _, c := range p.conns {
		c.helloSent, c.helloLost, c.helloPending, c.helloStream = false, false, 0, nil
	}
	p.failures = 0
	for _, x := range d.heads() {
		m.start(now, x)
	}
	m.touch(p)
}

func (m *Machine) renumber(now time.Time, x *outbound) {
	d := &x.peer.dialer
	if x.state == Cancelling {
		x.state = x.outcome
		x.retryAt(m, time.Time{})
		if x.committed {
			m.forgetOutbound(now, x)
		} else {
			m.save(x)
		}
		return
	}
	x.possiblySeen = x.possiblySeen || x.resent
	x.seq, x.state = d.next, Queued
	d.next++
	x.sent, x.wrote, x.resumed, x.resent, x.acked, x.taken = false, false, false, false, false, false
	d.open[x.seq] = x
	d.lanes[x.lane] = append(d.lanes[x.lane], x)
	d.unacknowledged++
	m.save(x)
}
