package control

import (
	"slices"
	"strings"
	"sync"

	"github.com/parley-p2p/parley"
)

const (
	// maxNotices is how many notices are kept, the latest.
	maxNotices = 1024
	// maxAbandonments is likewise of requests that their dialers gave up. Who isn't
	// told of one learns it when he answers.
	maxAbandonments = 4096
	// maxEarly is how many exchanges are kept of which a client was done before their
	// events came. Few are on their way at a time.
	maxEarly = 1024
)

// inbox holds what the handler has told, without bodies, until somebody is done
// with it, so that many clients can read it, each from where it likes. Each event
// has a place, which grows: over restarts too, since a run begins beyond all places
// of the runs before.
type inbox struct {
	mu     sync.Mutex
	events []held        // by place; at most Config.MaxOpen requests, MaxQueued outcomes, maxAbandonments and maxNotices
	last   uint64        // the place given last
	came   chan struct{} // closed at the next event, and made anew

	notices, abandonments int // among the events

	early []parley.ID // done with when nothing was told of them yet; at most maxEarly, the latest
}

// held is an event that nobody is done with.
type held struct {
	parley.Event
	place uint64
	given bool // to a client in this run
}

// newInbox makes the inbox of a run. Run numbers grow with each start of the node.
func newInbox(run uint64) *inbox {
	return &inbox{last: run << 32, came: make(chan struct{})}
}

// put adds an event. What it makes void goes: a request that was abandoned.
func (b *inbox) put(e parley.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Kind == parley.RequestAbandoned && !b.remove(e.ID) {
		return // it was answered, or nobody here was told of it
	}
	// A request that was answered and is possibly seen is asked anew.
	if slices.Contains(b.early, e.ID) && !e.Kind.Priority() && !e.PossiblySeen {
		return
	}
	switch {
	case e.Kind.Priority():
		b.makeRoom(&b.notices, maxNotices, isNotice)
	case e.Kind == parley.RequestAbandoned:
		b.makeRoom(&b.abandonments, maxAbandonments, isAbandonment)
	}
	b.last++
	b.events = append(b.events, held{Event: e, place: b.last})
	close(b.came)
	b.came = make(chan struct{})
}

// makeRoom counts one more of a kind, and lets go of the oldest where there are as
// many as may be.
func (b *inbox) makeRoom(count *int, most int, ofKind func(held) bool) {
	if *count < most {
		*count++
		return
	}
	oldest := slices.IndexFunc(b.events, ofKind)
	b.events = slices.Delete(b.events, oldest, oldest+1)
}

func isNotice(e held) bool { return e.Kind.Priority() }

func isAbandonment(e held) bool { return e.Kind == parley.RequestAbandoned }

// done takes out what is told of an exchange, and what is on its way here: a client
// that has an event of an earlier run can be quicker than the same event in this one.
func (b *inbox) done(id parley.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.events)
	b.remove(id)
	if len(b.events) < before || slices.Contains(b.early, id) {
		return
	}
	if len(b.early) == maxEarly {
		b.early = slices.Delete(b.early, 0, 1)
	}
	b.early = append(b.early, id)
}

// remove takes out what is told of an exchange, and reports whether a client had
// been given it.
func (b *inbox) remove(id parley.ID) (given bool) {
	b.events = slices.DeleteFunc(b.events, func(e held) bool {
		if e.Kind.Priority() || e.ID != id {
			return false
		}
		given = given || e.given
		if isAbandonment(e) {
			b.abandonments--
		}
		return true
	})
	return given
}

// filter is what a client wants.
type filter struct {
	after          uint64
	lanePrefix     string
	withoutNotices bool
	watching       bool // what is given doesn't count as given
}

func (f filter) wants(e held) bool {
	if e.Kind.Priority() {
		return !f.withoutNotices
	}
	return strings.HasPrefix(e.Lane, f.lanePrefix)
}

// take gives up to so many events, in order of their places, that a client wants,
// and notes that it has them. With none it gives what is closed when more come.
func (b *inbox) take(f filter, most int) (events []held, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	from, _ := slices.BinarySearchFunc(b.events, f.after+1, func(e held, place uint64) int {
		return int(int64(e.place) - int64(place))
	})
	for i := from; i < len(b.events) && len(events) < most; i++ {
		if e := &b.events[i]; f.wants(*e) {
			events = append(events, *e)
			e.given = e.given || !f.watching
		}
	}
	return events, b.came
}

// find gives the outcome of an exchange, if it is there, and notes that a client has
// it; and else what is closed when more comes.
func (b *inbox) find(id parley.ID) (e held, found bool, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.events, func(e held) bool { return !e.Kind.Priority() && e.ID == id })
	if i < 0 {
		return held{}, false, b.came
	}
	e = b.events[i]
	b.events[i].given = true
	return e, true, nil
}

// standing is how many events are held, and the place of the latest there was.
func (b *inbox) standing() (count int, last uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events), b.last
}
