package control

import (
	"slices"
	"sync"

	"github.com/parley-p2p/parley"
)

const (
	// maxNotices bounds the notices that are kept. Beyond it the oldest goes.
	maxNotices = 1024
	// maxAbandonments bounds the requests that are told to be given up. Beyond it the
	// oldest goes: who isn't told of one learns it when he answers.
	maxAbandonments = 4096
	// maxEarly bounds the exchanges of which a client was done before their events came,
	// as after a start, when the journal brings them again. Beyond it the oldest half is
	// forgotten, and may come again.
	maxEarly = 131_072
)

// inbox holds what the handler has told, without bodies, until somebody is done
// with it, so that many clients can read it, each from where it likes. Each event
// has a place, which grows: over restarts too, since a run begins beyond all places
// of the runs before.
type inbox struct {
	mu     sync.Mutex
	events []*held              // by place; at most Config.MaxOpen requests, MaxQueued outcomes, maxAbandonments and maxNotices, and as many that are gone
	gone   int                  // of the events
	about  map[parley.ID]*held  // those that are about an exchange, one for each exchange
	last   uint64               // the place given last
	came   chan struct{}        // closed at the next event, and made anew
	calls  map[parley.ID][]call // one for each call that waits for an exchange's end

	notices, abandonments latest

	early     map[parley.ID]struct{} // done with when nothing was told of them yet: at most maxEarly
	earlyOnes []parley.ID            // at most maxEarly, the latest
}

// held is an event that nobody is done with.
type held struct {
	parley.Event
	place uint64
	given bool // to a client in this run
	gone  bool
}

// call is told when something comes or goes that is about its exchange. It has room
// for one.
type call chan struct{}

// newInbox makes the inbox of a run. Run numbers grow with each start of the node.
func newInbox(run uint64) *inbox {
	return &inbox{
		about: map[parley.ID]*held{}, last: run << 32, came: make(chan struct{}), calls: map[parley.ID][]call{},
		notices: latest{most: maxNotices}, abandonments: latest{most: maxAbandonments}, early: map[parley.ID]struct{}{},
	}
}

// put adds an event. What it makes void goes: a request that was abandoned.
func (b *inbox) put(e parley.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &held{Event: e}
	if e.Kind.Priority() {
		b.letGo(b.notices.add(h))
	} else if !b.enter(h) {
		return
	}
	b.last++
	h.place = b.last
	b.events = append(b.events, h)
	close(b.came)
	b.came = make(chan struct{})
}

// enter files an event under its exchange. It reports whether anybody is to hear of it.
func (b *inbox) enter(h *held) bool {
	before := b.remove(h.ID)
	_, early := b.early[h.ID]
	switch {
	case h.Kind == parley.RequestAbandoned:
		if before == nil || !before.given && !before.Redelivered {
			return false // it was answered, or nobody was told of it
		}
		b.letGo(b.abandonments.add(h))
	case early && !h.PossiblySeen:
		return false
	case early: // a request that was answered is asked anew
		delete(b.early, h.ID)
	}
	h.given = before != nil && before.given && before.Kind == h.Kind
	b.about[h.ID] = h
	b.tell(h.ID)
	return true
}

// done takes out what is told of an exchange, and what is on its way here: a client
// that has an event of an earlier run can be quicker than the same event in this one.
func (b *inbox) done(id parley.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell(id)
	_, early := b.early[id]
	if b.remove(id) != nil || early {
		return
	}
	if len(b.earlyOnes) == maxEarly {
		for _, old := range b.earlyOnes[:maxEarly/2] {
			delete(b.early, old)
		}
		b.earlyOnes = slices.Delete(b.earlyOnes, 0, maxEarly/2)
	}
	b.early[id] = struct{}{}
	b.earlyOnes = append(b.earlyOnes, id)
}

// drop takes out what is told of an exchange; what is on its way here comes.
func (b *inbox) drop(id parley.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell(id)
	b.remove(id)
}

// remove takes out what is told of an exchange; nil when nothing is.
func (b *inbox) remove(id parley.ID) *held {
	h := b.about[id]
	b.letGo(h)
	return h
}

// letGo takes out an event; nil: none. What is gone keeps its place among the events
// until it is half of them, so that each costs the same however many there are.
func (b *inbox) letGo(h *held) {
	if h == nil || h.gone {
		return
	}
	h.gone = true
	b.gone++
	if b.about[h.ID] == h {
		delete(b.about, h.ID)
	}
	if b.gone > len(b.events)/2 {
		b.events = slices.DeleteFunc(b.events, func(e *held) bool { return e.gone })
		b.gone = 0
	}
}

// beginning are the exchanges of which the inbox tells, and whose digits begin so.
func (b *inbox) beginning(digits string) []parley.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []parley.ID // as many as there are events, at most
	for id := range b.about {
		if begins(id, digits) {
			found = append(found, id)
		}
	}
	return found
}

// standing is how many events are held, and the place of the latest there was.
func (b *inbox) standing() (count int, last uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events) - b.gone, b.last
}

// latest is the events of one kind that came last.
type latest struct {
	events []*held // at most most, which is maxNotices or maxAbandonments; some of them gone
	most   int
}

// add adds one, and returns what makes room for it; nil: there was room.
func (l *latest) add(h *held) (oldest *held) {
	if len(l.events) == l.most {
		l.events = slices.DeleteFunc(l.events, func(e *held) bool { return e.gone })
	}
	if len(l.events) == l.most {
		oldest = l.events[0]
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, h) // at most maxNotices, or maxAbandonments
	return oldest
}
