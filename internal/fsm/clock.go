package fsm

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// clockSet moves along whatever waits for a span of time, when the wall clock was set:
// retries, patience, idleness, how long a peer is kept out, and what is left of its
// deadlines. Deadlines of requests made here are moments of that clock, and stay. So one
// clock does for both, and all timers are in one order.
func (m *Machine) clockSet(now time.Time, by time.Duration) {
	along := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	for _, t := range m.timers {
		along(&t.at)
	}
	for _, p := range m.inOrder() {
		for _, x := range p.dialer.open {
			along(&x.retry)
			x.arm(m)
		}
		for _, y := range p.responder.inOrder() {
			along(&y.deadline)
			if !y.deadline.IsZero() && (y.state == Stored || y.state == Delivered) {
				m.save(y)
				m.sync() // what is told of the peer's exchanges rests on synced records only
			}
		}
		if p.torn != nil { // whose records stay as they are
			for _, y := range p.torn.got {
				along(&y.deadline)
			}
		}
		for _, c := range p.conns {
			along(&c.progress)
			along(&c.idleSince)
			along(&c.heldSince)
		}
		along(&p.pace.next)
		for i := range p.pace.hit {
			along(&p.pace.hit[i])
		}
	}
	before := now.Add(-by)
	for _, b := range slices.SortedFunc(maps.Values(m.blamed), func(a, b *blame) int { return cmp.Compare(a.peer, b.peer) }) {
		was := b.until
		along(&b.until)
		m.save(b)
		switch {
		case was.After(before):
			m.act(Shun{Peer: b.peer, Until: b.until})
		case was.After(now): // it was over, and would begin again
			m.act(Shun{Peer: b.peer})
		}
	}
}
