package fsm

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// search goes through all states of a plan, breadth first. Of a state that was
// met only the hash of its form is kept, and how it was first come by.
type search struct {
	plan     *plan
	thorough int // of so many new states one has its journal checked
	calm     int // of so many states one is followed to its end
	seed     maphash.Seed

	mu     sync.Mutex
	known  hashes
	from   []origin // of each state in the order in which they were met
	failed *failure
	calmed hashes // forms from which everything ends

	found found
}

// origin is the state before, and which of its moves led on.
type origin struct {
	before uint32
	move   uint16
}

type failure struct {
	origin
	what string
}

// found is what a search has come to.
type found struct {
	states, transitions, crashes, followed, longest int
	depth, widest                                   int
	cut                                             bool // the bound on states was hit
	took                                            time.Duration
	kinds                                           [moveKinds]int
	met                                             map[string]int // states and inputs, how often
}

// frontier is a state that is to be expanded.
type frontier struct {
	*duo
	number uint32
}

func explore(t testing.TB, p *plan, workers, thorough, calm int) found {
	t.Helper()
	s := &search{plan: p, thorough: thorough, calm: calm, seed: maphash.MakeSeed()}
	s.found.met = map[string]int{}
	begun := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	first := newDuo(p)
	first.settle()
	first.own = [2]bool{}
	s.known.add(maphash.Bytes(s.seed, first.form(newFormer())))
	s.from = append(s.from, origin{})
	level := []frontier{{first, 0}}
	for len(level) > 0 && s.failed == nil && !s.found.cut {
		s.found.widest = max(s.found.widest, len(level))
		level = s.expand(level, workers)
		if len(level) > 0 {
			s.found.depth++
		}
	}
	s.found.states = len(s.from)
	s.found.took = time.Since(begun)
	if s.failed != nil {
		t.Fatalf("%s: %s\n%s", p.name, s.failed.what, s.transcript(s.failed.origin))
	}
	return s.found
}

// expand meets all states that follow from those of a level.
func (s *search) expand(level []frontier, workers int) []frontier {
	next := make([][]frontier, workers)
	var group sync.WaitGroup
	var at, mu = 0, sync.Mutex{}
	for w := range workers {
		group.Go(func() {
			e := &explorer{search: s, cl: newCloner(), f: newFormer(), found: found{met: map[string]int{}}}
			for {
				mu.Lock()
				from := at
				at = min(at+64, len(level))
				to := at
				mu.Unlock()
				if from == to {
					break
				}
				for i := from; i < to; i++ {
					next[w] = e.state(level[i], next[w])
					level[i].duo = nil
				}
			}
			s.mu.Lock()
			s.found.add(&e.found)
			s.mu.Unlock()
		})
	}
	group.Wait()
	all := next[0]
	for _, more := range next[1:] {
		all = append(all, more...)
	}
	return all
}

// explorer is one of those that search in parallel.
type explorer struct {
	*search
	cl    *cloner
	f     *former
	moves []move
	found found
}

// state makes every move of a state, and adds the states that weren't known.
func (e *explorer) state(at frontier, next []frontier) []frontier {
	e.moves = at.duo.moves(e.moves[:0])
	for n, mv := range e.moves {
		e.found.transitions++
		e.found.kinds[mv.kind]++
		e.found.meets(at.duo, mv)
		after, what := e.after(at.duo, mv)
		hash := maphash.Bytes(e.seed, after.form(e.f))
		number, fresh := e.meet(hash, origin{at.number, uint16(n)}, what)
		if !fresh {
			continue
		}
		after.check(at.duo, int(number)%e.thorough == 0)
		if after.failure == "" && int(number)%e.calm == 0 {
			e.follow(after)
		}
		if after.failure != "" {
			e.fail(origin{at.number, uint16(n)}, after.failure)
			return nil
		}
		next = append(next, frontier{after, number})
	}
	return next
}

// after makes a move; a panic of the machine's is a failure too.
func (e *explorer) after(d *duo, mv move) (after *duo, what string) {
	defer func() {
		if broken := recover(); broken != nil {
			after, what = d, fmt.Sprintf("panic: %v\n%s", broken, debug.Stack())
		}
	}()
	after = d.after(mv, e.cl)
	return after, after.failure
}

// meet notes a state, and says whether it is new.
func (s *search) meet(hash uint64, from origin, what string) (number uint32, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if what != "" {
		s.fail1(from, what)
		return 0, false
	}
	if s.failed != nil || s.found.cut || !s.known.add(hash) {
		return 0, false
	}
	s.from = append(s.from, from)
	s.found.cut = s.plan.most > 0 && len(s.from) >= s.plan.most
	return uint32(len(s.from) - 1), true
}

func (s *search) fail(from origin, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail1(from, what)
}

func (s *search) fail1(from origin, what string) {
	if s.failed == nil {
		s.failed = &failure{from, what}
	}
}

// follow lets everything come to its end, unless it is known to from here.
func (e *explorer) follow(d *duo) {
	forms, steps := d.calm(e.cl, e.f, func(form []byte) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.calmed.has(maphash.Bytes(e.seed, form))
	})
	e.found.followed++
	e.found.longest = max(e.found.longest, steps)
	if d.failure != "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, form := range forms {
		e.calmed.add(maphash.Bytes(e.seed, form))
	}
}

// meets notes which input a move brings to which state of what it is about.
func (f *found) meets(d *duo, mv move) {
	i := int(mv.side)
	if mv.kind == frameArrives || mv.kind == frameArrivesLate {
		frame := d.lines[mv.line].flows[mv.flow].queue[i][0].Frame
		if frame.Seq == 0 {
			return
		}
		p := d.sides[i].m.peers[d.names[1-i]]
		if toDialer := frame.Kind == wire.Continue || frame.Kind == wire.Reply || frame.Of != 0 && frame.Of != wire.OfReply; toDialer {
			f.met[dialerAt(p, frame.Seq)+": "+kindName(&frame)]++
		} else {
			f.met[responderAt(p, frame.Seq)+": "+kindName(&frame)]++
		}
		return
	}
	for _, x := range d.sides[i].m.made {
		f.met["the dialer "+x.state.String()+": "+moveNames[mv.kind]]++
	}
	for _, y := range d.sides[i].m.got {
		f.met["the responder "+y.state.String()+": "+moveNames[mv.kind]]++
	}
}

func dialerAt(p *peer, seq uint64) string {
	if x := p.dialer.open[seq]; x != nil {
		return "the dialer " + x.state.String()
	}
	return "the dialer over"
}

func responderAt(p *peer, seq uint64) string {
	switch y := p.responder.open[seq]; {
	case y != nil:
		return "the responder " + y.state.String()
	case p.responder.ended.has(seq):
		return "the responder over"
	}
	return "the responder unknown"
}

// kindName is a frame's kind, and what it is of.
func kindName(f *wire.Frame) string {
	name := f.Kind.String()
	if f.Refusal != 0 {
		name += " " + f.Refusal.String()
	}
	if f.Of != 0 {
		name += " of " + f.Of.String()
	}
	return name
}

func (f *found) add(more *found) {
	f.transitions += more.transitions
	f.followed += more.followed
	f.longest = max(f.longest, more.longest)
	for cell, n := range more.met {
		f.met[cell] += n
	}
	for k, n := range more.kinds {
		f.kinds[k] += n
	}
	for _, k := range []moveKind{crash, crashJournalLost, crashJournalSetBack} {
		f.crashes += more.kinds[k]
	}
}

// transcript tells how a state is come by: the shortest way there is.
func (s *search) transcript(last origin) string {
	var way []uint16
	for o := last; ; o = s.from[o.before] {
		way = append([]uint16{o.move}, way...)
		if o.before == 0 {
			break
		}
	}
	return retold(s.plan, way)
}

// retold makes the moves of a way again, each by its number, and tells of them.
func retold(p *plan, way []uint16) string {
	var b strings.Builder
	d := newDuo(p)
	d.settle()
	d.trace = func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	cl := newCloner()
	d.own = [2]bool{}
	for n, which := range way {
		fmt.Fprintf(&b, "%d. ", n+1)
		before := d
		d = d.after(d.moves(nil)[which], cl)
		d.check(before, true)
		if d.failure != "" {
			fmt.Fprintf(&b, "=> %s\n", d.failure)
			break
		}
	}
	if d.failure == "" {
		d.calm(cl, newFormer(), func([]byte) bool { return false })
		fmt.Fprintf(&b, "=> %s\n", d.failure)
	}
	fmt.Fprintf(&b, "the way: %v\n", way)
	return b.String()
}

// hashes is a set of hashes, in as little memory as that takes.
type hashes struct {
	slots []uint64 // 0: free
	count int
}

func (h *hashes) has(hash uint64) bool {
	if len(h.slots) == 0 {
		return false
	}
	return h.slots[h.slot(max(hash, 1))] != 0
}

// add reports whether a hash wasn't there.
func (h *hashes) add(hash uint64) bool {
	if 4*h.count >= 3*len(h.slots) {
		old := h.slots
		h.slots = make([]uint64, max(1024, 2*len(old)))
		for _, hash := range old {
			if hash != 0 {
				h.slots[h.slot(hash)] = hash
			}
		}
	}
	hash = max(hash, 1)
	at := h.slot(hash)
	if h.slots[at] != 0 {
		return false
	}
	h.slots[at] = hash
	h.count++
	return true
}

// slot is where a hash is, or would be.
func (h *hashes) slot(hash uint64) int {
	for at := hash & uint64(len(h.slots)-1); ; at = (at + 1) & uint64(len(h.slots)-1) {
		if h.slots[at] == 0 || h.slots[at] == hash {
			return int(at)
		}
	}
}

// memory is what the heap takes, in MiB.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}
