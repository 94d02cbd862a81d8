// Package simulate runs whole groups of nodes in one goroutine on virtual time:
// the production machine and mediator turn of every node, over a network, a log
// and applications that fail as the real ones do. Everything follows from one
// seed, so that a run that broke a promise can be repeated.
package simulate

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// Config says what is simulated.
type Config struct {
	Seed     uint64
	Nodes    int
	Lanes    int // of each node
	Requests int // of each node
	Faults   Faults
	// Trace keeps a readable line for every event, in Result.Transcript.
	Trace bool
}

// Faults are chances, each for one event, while faults last.
type Faults struct {
	Crash   float64 // of a node, at a turn: before, in or after its commit
	Break   float64 // of a connection, at a frame
	Reset   float64 // of a stream, at a frame
	DialErr float64 // of a dial
	Cancel  float64 // of a request, by its application
	Expire  float64 // of a request: it has a short deadline
	Hangup  float64 // of a node's connections with one other, at a turn
	Unlist  float64 // of a peer, at a turn; it returns
	Late    float64 // of a request: it is answered much later
	Reject  float64 // of a request
	Large   float64 // of a request and of a reply: larger than wire.MaxInline
}

// Rough is faults of every kind, often.
func Rough() Faults {
	return Faults{Crash: 0.004, Break: 0.01, Reset: 0.01, DialErr: 0.2, Cancel: 0.05, Expire: 0.05, Hangup: 0.002, Unlist: 0.001, Late: 0.1, Reject: 0.05, Large: 0.1}
}

// Result is what a run came to.
type Result struct {
	Hash       uint64 // of everything that happened
	Exchanges  int
	Answered   int
	Crashes    int
	Frames     int
	Took       time.Duration // of virtual time
	Transcript string
}

// world is one run.
type world struct {
	config Config
	rng    *rand.Rand
	now    time.Time
	events events
	serial uint64
	nodes  []*node
	conns  map[fsm.Conn]*end
	nextID uint64
	calm   bool // faults are over
	broken []string
	result Result
	trace  strings.Builder
	hash   interface {
		Write([]byte) (int, error)
		Sum64() uint64
	}
}

// Run simulates until every request has ended, or fails to within a bound after
// faults stop. An error names the promises that were broken.
func Run(config Config) (Result, error) {
	w := &world{
		config: config,
		rng:    rand.New(rand.NewPCG(config.Seed, 0x9a71)),
		now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		conns:  map[fsm.Conn]*end{},
		hash:   fnv.New64a(),
	}
	start := w.now
	for i := range config.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	for _, n := range w.nodes {
		n.start()
		n.app.plan()
	}
	calmAt := start.Add(5 * time.Minute)
	for len(w.events) > 0 && len(w.broken) == 0 {
		if !w.calm && w.events[0].at.After(calmAt) {
			w.calmDown()
		}
		e := heap.Pop(&w.events).(*event)
		w.now = e.at
		e.do()
		if w.calm && w.done() {
			break
		}
		if w.now.Sub(start) > 2*time.Hour {
			w.breaks("not everything ended within two hours: %s", w.open())
		}
	}
	if len(w.broken) == 0 {
		w.checkEnd()
	}
	w.result.Hash, w.result.Took, w.result.Transcript = w.hash.Sum64(), w.now.Sub(start), w.trace.String()
	if len(w.broken) > 0 {
		return w.result, fmt.Errorf("seed %d: %s", config.Seed, strings.Join(w.broken, "; "))
	}
	return w.result, nil
}

// event is something that will happen.
type event struct {
	at     time.Time
	serial uint64
	do     func()
}

type events []*event

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
	*h = (*h)[:last]
	return e
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, &event{w.now.Add(d), w.serial, do})
}

// chance decides a fault; once it is calm none happens.
func (w *world) chance(p float64) bool { return !w.calm && p > 0 && w.rng.Float64() < p }

// within is a random time up to d, mostly short.
func (w *world) within(d time.Duration) time.Duration {
	f := w.rng.Float64()
	return time.Duration(f * f * f * float64(d))
}

// note adds to what the run's hash and transcript are made of.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(w.hash, "%d %s\n", w.now.UnixNano(), line)
	if w.config.Trace {
		fmt.Fprintf(&w.trace, "%10.4f  %s\n", w.now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds(), line)
	}
}

// breaks notes a broken promise, which ends the run.
func (w *world) breaks(format string, args ...any) {
	w.note("BROKEN: "+format, args...)
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// calmDown ends all faults: whoever is down or off a list comes back.
func (w *world) calmDown() {
	w.calm = true
	w.note("faults are over")
	for _, n := range w.nodes {
		if n.turn == nil {
			n.start()
		}
		for _, other := range w.nodes {
			if n.unlisted[other] {
				n.list(other, true)
			}
		}
	}
}
