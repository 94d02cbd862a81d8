package fsm

import (
	"errors"
	"time"
)

// maxPeers bounds the peers that are known where everyone is admitted; else the
// allow list bounds them. Beyond it a new one is disconnected, and a request to
// one refused with ErrQueueFull.
const maxPeers = 10_000

// peer is all that is known of one other node: its connections, the exchanges
// made with it as dialer and as responder, and when it is dialled next.
type peer struct {
	id        Peer
	listed    bool // on the allow list
	isTouched bool
	limits    Limits
	pace      pace
	conns     []*connection // one for each connection
	addresses []string      // as last given with a request; empty: what the allow list says

	dialing  bool
	failures int // dials that failed and connections that broke, since one was of use
	redial   timer

	dialer    dialerSide
	responder responderSide
	torn      *torn // nil, unless its records contradict each other
}

func newPeer(id Peer) *peer {
	p := &peer{id: id}
	p.redial.owner = p
	p.dialer, p.responder = newDialerSide(p), newResponderSide(p)
	return p
}

func newDialerSide(p *peer) dialerSide {
	return dialerSide{peer: p, low: 1, next: 1, open: map[uint64]*outbound{}, lanes: map[string][]*outbound{}}
}

func newResponderSide(p *peer) responderSide {
	return responderSide{peer: p, ended: newEnded(), open: map[uint64]*inbound{}, lanes: map[string]*inbound{}, inHand: map[Name]*inbound{}}
}

// usable is the connection to send on: one that this node dialled, else one
// that the peer dialled, else nil.
func (p *peer) usable() *connection {
	var found *connection
	for _, c := range p.conns {
		if c.state == ConnUp && (found == nil || c.dialed && !found.dialed) {
			found = c
		}
	}
	return found
}

// address is the other end's, as far as it is known.
func (p *peer) address() string {
	if c := p.usable(); c != nil {
		return c.address
	}
	if len(p.addresses) > 0 {
		return p.addresses[0]
	}
	return ""
}

// busy reports whether any exchange with the peer has not ended. What is halted
// waits for the operator, not for the peer.
func (p *peer) busy() bool {
	r := &p.responder
	return len(p.dialer.open) > 0 && p.dialer.halt == nil || len(r.open) > r.refused
}

// wants reports whether something waits for a connection, and how long it may
// take at most until the next attempt.
func (m *Machine) wants(p *peer) (bool, time.Duration) {
	if !p.listed {
		return false, 0
	}
	d := &p.dialer
	if d.halt == nil && len(d.open) > 0 {
		if d.unacknowledged > 0 {
			return true, m.config.RetryMax
		}
		return true, m.config.PollMax // only replies are waited for
	}
	if d.halt == nil && d.confirm {
		return true, m.config.RetryMax
	}
	return p.responder.replying > 0 && !p.responder.unreachable, m.config.PollMax
}

// tend looks after a peer's connections once all inputs of a turn are in: dials
// when something waits for one, closes what isn't needed any more.
func (m *Machine) tend(now time.Time, p *peer) {
	c := p.usable()
	if c == nil {
		m.tendDial(now, p)
		return
	}
	m.wakeAt(&p.redial, time.Time{})
	m.serveWaiting(now, p)
	m.tendHello(now, c)
	for _, c := range p.conns {
		c.tend(m, now)
	}
}

func (m *Machine) tendDial(now time.Time, p *peer) {
	wanted, most := m.wants(p)
	until := m.keptOut(p.id, now)
	switch {
	case !wanted:
		m.wakeAt(&p.redial, time.Time{})
	case !until.IsZero():
		m.wakeAt(&p.redial, until)
	case p.dialing:
	case p.failures == 0:
		m.dial(p)
	case p.redial.place == 0 || p.redial.at.After(now.Add(most)):
		m.wakeAt(&p.redial, now.Add(m.backoff(p.failures, most)))
	}
}

func (m *Machine) dial(p *peer) {
	m.wakeAt(&p.redial, time.Time{})
	p.dialing = true
	m.stats.Dials++
	if p.failures > 0 {
		m.stats.Redials++
	}
	for _, x := range p.dialer.heads() {
		if x.state == Backoff && x.retry.IsZero() || x.state == Queued {
			x.state = Dialing
		}
	}
	m.act(Dial{Peer: p.id, Addresses: p.addresses})
}

// due redials.
func (p *peer) due(m *Machine, now time.Time) {
	if wanted, _ := m.wants(p); wanted && !p.dialing && p.usable() == nil {
		m.dial(p)
	}
}

func (m *Machine) dialFailed(now time.Time, in DialFailed) {
	p := m.peer(in.Peer)
	p.dialing = false
	p.failures++
	p.dialer.confirm = false // once more was enough; the next connection's HELLO tells
	if errors.Is(in.Err, ErrNoAddress) {
		p.responder.unreachable = true
	}
	for _, x := range p.dialer.heads() {
		if x.state == Dialing {
			x.state = Backoff
		}
	}
	m.touch(p)
}

// listed admits a peer: what was suspended goes on where it stood.
func (m *Machine) listed(now time.Time, p *peer, limits Limits) {
	m.setLimits(now, p, limits)
	p.failures, p.responder.unreachable = 0, false // there may be a new address
	m.touch(p)
	if p.torn != nil {
		p.torn.listed = true
		return
	}
	if !p.listed {
		m.admitted(now, p)
	}
}

func (m *Machine) admitted(now time.Time, p *peer) {
	p.listed = true
	for _, x := range p.dialer.inOrder() {
		if x.state == Suspended {
			x.state = Queued
		}
	}
	for _, x := range p.dialer.heads() {
		m.start(now, x)
	}
	m.deliverAgain(p)
	m.touch(p)
}

// unlisted shuts a peer out at once. Nothing is lost: it waits.
func (m *Machine) unlisted(now time.Time, p *peer) {
	if p.torn != nil {
		p.torn.listed = false
	}
	if !p.listed || m.everyone {
		return
	}
	p.listed = false
	m.setLimits(now, p, Limits{})
	m.touch(p)
	m.wakeAt(&p.redial, time.Time{})
	waiting := p.busy()
	for _, c := range p.conns {
		m.hangUp(c, false)
	}
	for _, x := range p.dialer.inOrder() {
		m.unbind(now, x)
		if x.state != Cancelling && x.state != Halted {
			x.state, x.retry = Suspended, time.Time{}
			x.arm(m)
		}
	}
	m.holdBack(p)
	if waiting {
		m.notice(Notice{Kind: PeerSuspended, Peer: p.id, Detail: "off the allow list with exchanges open", Time: now})
	}
}

func (m *Machine) admitEveryone(now time.Time) {
	m.everyone = true
	for _, p := range m.inOrder() {
		m.listed(now, p, Limits{})
	}
}

func (m *Machine) hangup(id Peer) {
	p := m.peer(id)
	for _, c := range p.conns {
		m.hangUp(c, true)
	}
	p.failures = max(p.failures, 1) // what is open resumes, but not at once
	m.touch(p)
}
