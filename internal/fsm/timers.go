package fsm

import (
	"container/heap"
	"time"
)

// A timed thing has one timer and is told when it is due.
type timed interface {
	due(m *Machine, now time.Time)
}

// timer is the one moment at which its owner wants to be looked at again.
type timer struct {
	at     time.Time
	owner  timed
	serial uint64 // orders equal moments, so that a run can be repeated
	place  int    // in the heap, from 1; 0 when not set
}

// timers is a heap, the earliest first: one for each exchange, connection and peer.
// The machine has one deadline: its top.
type timers []*timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].serial < h[j].serial
	}
	return h[i].at.Before(h[j].at)
}
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}
func (h *timers) Push(t any) {
	*h = append(*h, t.(*timer))
	t.(*timer).place = len(*h)
}
func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = 0
	return t
}

// wakeAt sets a timer; the zero time stops it.
func (m *Machine) wakeAt(t *timer, at time.Time) {
	switch {
	case at.IsZero():
		if t.place != 0 {
			heap.Remove(&m.timers, t.place-1)
		}
	case t.place != 0:
		if !t.at.Equal(at) {
			t.at = at
			heap.Fix(&m.timers, t.place-1)
		}
	default:
		m.timerSerial++
		t.at, t.serial = at, m.timerSerial
		heap.Push(&m.timers, t)
	}
}

// fire tells everything that is due by now.
func (m *Machine) fire(now time.Time) {
	for len(m.timers) > 0 && !m.timers[0].at.After(now) {
		t := heap.Pop(&m.timers).(*timer)
		t.owner.due(m, now)
	}
}

// earliest is the sooner of two moments, of which either may be zero: never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// patience is how long an acknowledgement is waited for: longer after each
// failure, so that a slow link finishes in the end what it can't at once.
func (m *Machine) patience(failures int) time.Duration {
	return m.config.AckTimeout << min(failures, 5)
}

// backoff is the delay before attempt n+1, after n failures: doubling from
// RetryMin to most, of which a random half is taken off so that peers that
// failed together do not return together.
func (m *Machine) backoff(failures int, most time.Duration) time.Duration {
	delay := most
	if shift := max(failures-1, 0); shift < 20 {
		delay = min(most, m.config.RetryMin<<shift)
	}
	return delay/2 + time.Duration(m.config.Jitter()*float64(delay/2))
}
