package control

import (
	"slices"
	"strings"

	"github.com/parley-p2p/parley"
)

// filter is what a client wants.
type filter struct {
	after          uint64
	lanePrefix     string
	withoutNotices bool
	watching       bool // what is given doesn't count as given
}

func (f filter) wants(e *held) bool {
	switch {
	case e.gone:
		return false
	case e.Kind.Priority():
		return !f.withoutNotices
	}
	return strings.HasPrefix(e.Lane, f.lanePrefix)
}

// take gives up to so many events, in order of their places, that a client wants,
// and notes that it has them. It tells up to which place it looked, and, with none, gives
// what is closed when more come.
func (b *inbox) take(f filter, most int) (events []held, looked uint64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.after > b.last {
		f.after = 0 // the node has lost count of its starts: everything is given again
	}
	from, _ := slices.BinarySearchFunc(b.events, f.after, func(e *held, place uint64) int {
		if e.place <= place {
			return -1
		}
		return 1
	})
	for _, e := range b.events[from:] {
		if len(events) == most {
			return events, looked, b.came
		}
		looked = e.place
		if f.wants(e) {
			events = append(events, *e)
			e.given = e.given || !f.watching
		}
	}
	return events, max(f.after, b.last), b.came
}

// find gives what is told of an exchange, if anything is, and notes that a client has it.
func (b *inbox) find(id parley.ID) (e held, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.about[id]
	if h == nil {
		return held{}, false
	}
	e = *h
	h.given = true
	return e, true
}

// await tells a call, until it leaves, whenever something comes or goes that is about an
// exchange.
func (b *inbox) await(id parley.ID) (changed <-chan struct{}, leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(call, 1)
	b.calls[id] = append(b.calls[id], c)
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls[id] = slices.DeleteFunc(b.calls[id], func(other call) bool { return other == c })
		if len(b.calls[id]) == 0 {
			delete(b.calls, id)
		}
	}
}

func (b *inbox) tell(id parley.ID) {
	for _, c := range b.calls[id] {
		select {
		case c <- struct{}{}:
		default: // it was told, and hasn't looked yet
		}
	}
}
