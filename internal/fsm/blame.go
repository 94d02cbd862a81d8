package fsm

import (
	"slices"
	"time"
)

const (
	// firstKeepOut is how long a peer is kept out after its first violation;
	// each further one doubles it, up to Config.KeepOutMax.
	firstKeepOut = time.Second
	// blameFor bounds how long blame is remembered: a peer that has kept the rules
	// for as long since it was let in begins anew.
	blameFor = 24 * time.Hour
	// maxBlamed bounds the peers remembered for a violation. Beyond it the one whose
	// time is up first is forgotten.
	maxBlamed = 4096
)

// blame is what is remembered of a peer that broke a rule of the protocol: never
// of one that was slow, silent or cut off, which may happen to anybody. It is
// durable: whoever is kept out doesn't get in by waiting for a restart.
type blame struct {
	peer    Peer
	count   uint64    // violations, those while it was kept out not counted
	until   time.Time // it is kept out
	rule    string    // the last that it broke
	over    bool      // it is forgotten, and its record to be deleted
	unsaved bool
}

// violate blames the peer for breaking a rule on a connection.
func (m *Machine) violate(now time.Time, c *connection, rule string) {
	if c.state == ConnUp {
		m.blame(now, c, rule)
	}
}

// violated takes the P2P protocol's word for it: what it couldn't read.
func (m *Machine) violated(now time.Time, in Violated) {
	if c := m.conns[in.Conn]; c != nil {
		m.blame(now, c, in.Rule)
	}
}

// blame names the peer and the rule, disconnects it at once and keeps it out:
// longer each time. What it breaks on several connections at once counts as one.
func (m *Machine) blame(now time.Time, c *connection, rule string) {
	p := c.peer
	m.stats.Violations++
	if c.blamed {
		return // its end is under way
	}
	b := m.blamed[p.id]
	if b == nil {
		m.forgetBlame(now)
		b = &blame{peer: p.id}
		m.blamed[p.id] = b
	}
	if !b.until.After(now) {
		if now.Sub(b.until) > blameFor {
			b.count = 0
		}
		b.count++
		b.until = now.Add(m.keepOut(b.count))
	}
	b.rule = rule
	m.save(b)
	m.sync()
	m.notice(Notice{Kind: Violation, Peer: p.id, Address: c.address, Detail: rule, Until: b.until, Time: now})
	m.act(Shun{Peer: p.id, Until: b.until})
	for _, c := range p.conns {
		c.blamed = true
		if c.state == ConnUp {
			m.closing(c, false)
		}
	}
	p.failures = max(p.failures, 1)
	m.touch(p)
}

func (m *Machine) keepOut(count uint64) time.Duration {
	if shift := count - 1; shift < 20 {
		return min(firstKeepOut<<shift, m.config.KeepOutMax)
	}
	return m.config.KeepOutMax
}

// keptOut is until when a peer is kept out; the zero time if it isn't.
func (m *Machine) keptOut(id Peer, now time.Time) time.Time {
	if b := m.blamed[id]; b != nil && b.until.After(now) {
		return b.until
	}
	return time.Time{}
}

// forgetBlame makes room for one more: what is long past goes, and at the limit
// whoever would be let in first.
func (m *Machine) forgetBlame(now time.Time) {
	var first *blame
	for _, b := range m.blamed {
		if now.Sub(b.until) > blameFor {
			m.pardon(b)
		} else if first == nil || b.until.Before(first.until) || b.until.Equal(first.until) && b.peer < first.peer {
			first = b
		}
	}
	if len(m.blamed) >= maxBlamed {
		m.pardon(first)
	}
}

func (m *Machine) pardon(b *blame) {
	b.over = true
	delete(m.blamed, b.peer)
	m.save(b)
}

// pardonByOperator lets a peer in again, as if it had never broken a rule.
func (m *Machine) pardonByOperator(in Pardon) {
	if b := m.blamed[in.Peer]; b != nil {
		m.pardon(b)
		m.sync()
		m.act(Shun{Peer: in.Peer})
		p := m.peer(in.Peer)
		p.failures = 0
		m.touch(p)
	}
	m.answer(in.Call, nil)
}

// keepOutAgain has those kept out whom an earlier run kept out. A clock that was
// set back since then keeps nobody out for longer than the longest time there is.
func (m *Machine) keepOutAgain(now time.Time) {
	for _, b := range m.blamed {
		if most := now.Add(m.config.KeepOutMax); b.until.After(most) {
			b.until = most
		}
		if b.until.After(now) {
			m.act(Shun{Peer: b.peer, Until: b.until})
		}
	}
	slices.SortFunc(m.ready.Actions, func(a, b Action) int { return byPeer(a.(Shun), b.(Shun)) })
}

func byPeer(a, b Shun) int {
	switch {
	case a.Peer < b.Peer:
		return -1
	case a.Peer > b.Peer:
		return 1
	}
	return 0
}
