package simulate

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// world is one run.
type world struct {
	config Config
	dice   dice
	now    time.Time
	start  time.Time
	events events // one for each frame on its way, and a few for each node
	serial uint64
	nodes  []*node
	byID   map[fsm.Peer]*node // one for each of Config.Nodes
	ways   map[[2]int]*way    // one for each two nodes
	nextID uint64             // of connections
	calm   bool               // faults are over

	made    map[wire.Tag]*request  // one for each request of the run
	answers map[exchange]wire.Hash // what was first sent in answer, one for each request
	tainted map[[2]int]bool        // pairs of which one side lost its journal, or is the rogue; one for each two nodes

	failure *Failure
	result  Result
	hash    uint64
	trace   strings.Builder // of one run, where Config.Trace is set
	choices []Choice        // one for each that was made, where Config.Trace is set
	told    map[spot]int    // where they are, one for each
}

// exchange is one as its responder knows it.
type exchange struct {
	responder int
	name      fsm.Name
}

// Result is what a run came to.
type Result struct {
	Seed      uint64
	Hash      uint64 // of everything that happened
	Exchanges int    // requests that were accepted
	Answered  int
	Rejected  int
	GivenUp   int // cancelled or expired
	Waiting   int // for an application that never answers
	Gone      int // with a journal that was lost
	Struck    [kinds]int
	Faults    int // that struck something in flight, of all kinds
	Frames    int
	FramesCut int // that were lost on their way
	Overtaken int // that came after one that was sent later
	Turns     int
	Syncs     int
	Renewals  int
	Took      time.Duration // of virtual time
	Settled   time.Duration // of that, after faults were over

	Transcript string
	Choices    []Choice
}

// Failure is a promise that was broken.
type Failure struct {
	Seed    uint64
	Promise Promise
	What    string
	At      time.Duration
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, after %.3f s: promise %d is broken (%v): %s", f.Seed, f.At.Seconds(), f.Promise, f.Promise, f.What)
}

// Run simulates until every request has ended, or fails to within Bound after
// faults stop. The error is a [*Failure], or that of the context.
func Run(ctx context.Context, config Config) (Result, error) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{
		config: config, dice: newDice(config), now: start, start: start,
		byID: map[fsm.Peer]*node{}, ways: map[[2]int]*way{},
		made: map[wire.Tag]*request{}, answers: map[exchange]wire.Hash{}, tainted: map[[2]int]bool{}, told: map[spot]int{},
	}
	w.result.Seed = config.Seed
	w.populate()
	w.after(Calm, w.calmDown)
	for steps := 0; len(w.events) > 0 && w.failure == nil; steps++ {
		if steps%1024 == 0 && ctx.Err() != nil {
			return w.result, context.Cause(ctx)
		}
		e := heap.Pop(&w.events).(*event)
		w.now = e.at
		e.do()
		if w.calm && w.result.Settled > 0 {
			break
		}
	}
	if w.failure == nil {
		w.checkEnd()
	}
	w.result.Hash, w.result.Took = w.hash, w.now.Sub(start)
	w.result.Transcript, w.result.Choices = w.trace.String(), w.choices
	if w.failure != nil {
		return w.result, w.failure
	}
	return w.result, nil
}

// populate makes the nodes and has each list those that it knows.
func (w *world) populate() {
	n := w.config.Nodes
	for i := range n {
		w.nodes = append(w.nodes, newNode(w, i))
		w.byID[w.nodes[i].id] = w.nodes[i]
	}
	near := n - 1
	if a := w.config.Acquaintances; a > 0 {
		near = min(max(a/2, 1), near)
	}
	for i, node := range w.nodes {
		for d := 1; d <= near; d++ {
			node.know(w.nodes[(i+d)%n])
			w.nodes[(i+d)%n].know(node)
		}
	}
	if w.config.Rogue {
		for i := range n - 1 {
			w.taint(w.nodes[i], w.nodes[n-1])
		}
		w.nodes[n-1].rogue = true
	}
	for _, node := range w.nodes {
		node.begin()
		node.app.plan()
	}
}

// event is something that will happen.
type event struct {
	at     time.Time
	serial uint64
	do     func()
}

type events []*event // one for each frame on its way, and a few for each node

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].serial < h[j].serial
	}
	return h[i].at.Before(h[j].at)
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(e any)   { *h = append(*h, e.(*event)) }
func (h *events) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, &event{w.now.Add(d), w.serial, do})
}

// chance decides whether something goes wrong; once it is calm nothing does.
func (w *world) chance(s spot, p float64) bool { return !w.calm && w.may(s, p) }

// may decides whether something happens.
func (w *world) may(s spot, p float64) bool {
	if !w.dice.hits(s, p) {
		return false
	}
	w.stamp(uint64(s.kind), s.place, s.count)
	if w.config.Trace {
		w.told[s] = len(w.choices)
		w.choices = append(w.choices, Choice{spot: s, At: w.now.Sub(w.start), What: s.kind.String()})
	}
	return true
}

// strike notes a fault, and whether it struck something in flight.
func (w *world) strike(s spot, inFlight bool, format string, args ...any) {
	if inFlight {
		w.result.Faults++
		w.result.Struck[s.kind]++
	}
	w.chose(s, format, args...)
}

// chose says what a choice came to.
func (w *world) chose(s spot, format string, args ...any) {
	if !w.config.Trace {
		return
	}
	c := Choice{spot: s, At: w.now.Sub(w.start), What: fmt.Sprintf(format, args...)}
	if at, found := w.told[s]; found {
		w.choices[at] = c
	}
	fmt.Fprintf(&w.trace, "%v\n", c)
}

// stamp adds to the run's hash.
func (w *world) stamp(numbers ...uint64) {
	w.hash = mix(w.hash, uint64(w.now.UnixNano()))
	for _, n := range numbers {
		w.hash = mix(w.hash, n)
	}
}

// digest is a number for some bytes.
func digest(b []byte) uint64 {
	sum := uint64(len(b))
	for len(b) >= 8 {
		sum = mix(sum, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, c := range b {
		sum = mix(sum, uint64(c))
	}
	return sum
}

// note adds a line to the transcript, where there is one.
func (w *world) note(format string, args ...any) {
	if w.config.Trace {
		fmt.Fprintf(&w.trace, "%9.3fs    %s\n", w.now.Sub(w.start).Seconds(), fmt.Sprintf(format, args...))
	}
}

// breaks notes a broken promise, which ends the run.
func (w *world) breaks(p Promise, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Seed: w.config.Seed, Promise: p, What: fmt.Sprintf(format, args...), At: w.now.Sub(w.start)}
		w.note("BROKEN: %v", w.failure)
	}
}

// taint notes that not all promises hold between two nodes any more.
func (w *world) taint(a, b *node) {
	w.tainted[[2]int{a.index, b.index}] = true
	w.tainted[[2]int{b.index, a.index}] = true
}

func (w *world) clean(a, b *node) bool { return !w.tainted[[2]int{a.index, b.index}] }

// calmDown ends all faults: whoever is down or off a list comes back, ways are
// open, disks have room, applications look for events.
func (w *world) calmDown() {
	w.calm = true
	w.note("faults are over")
	for _, n := range w.nodes {
		n.log.low = false
		for _, other := range n.knows {
			w.way(n, other).cutUntil = w.now
			if n.book[other] != other.place {
				n.learn(other)
			}
			if n.unlisted[other] {
				n.list(other, true)
			}
		}
		if n.turn == nil {
			n.begin()
		}
		n.app.lazyUntil = w.now
		n.app.poll()
	}
	w.after(time.Second, w.settle)
}

// settle looks, from time to time, whether all is over.
func (w *world) settle() {
	if w.ended() {
		w.result.Settled = w.now.Sub(w.start) - Calm
		return
	}
	if w.now.Sub(w.start) > Calm+cmp.Or(w.config.Bound, Bound) {
		w.breaks(AllEnds, "%s", w.open())
		return
	}
	w.after(time.Second, w.settle)
}
