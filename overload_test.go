package parley_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
)

// Of the load: for every request that Bob's application answers, ten more are
// offered to him, by three peers in sixty lanes.
const (
	offersAnAnswer = 10
	answersInAll   = 1500
	answersAtLeast = 200 // where the machine is slow, and what is below has passed
	loadLasts      = 12 * time.Second
	answersASample = 20
	lanesOfAPeer   = 20
	bodySize       = 64 << 10 // bytes: all that is answered is several times what a journal may hold
)

// Peers offer ten times what a responder can take, for as long as they like: he
// refuses what is too much, before he stores it, and they are refused by their own
// queues. Nothing grows. What was accepted ends once the load is over, answered or
// cancelled, each once.
func TestTenTimesTheLoadEndsInRefusalsAndFlatMemory(t *testing.T) {
	nodes := group(t, 4, func(c *parley.Config) {
		onDisk(t)(c)
		c.MaxOpenPerPeer, c.MaxOpen = 8, 16
		c.MaxQueuedPerPeer = 100
		c.History = 100
	})
	l := &load{t: t, bob: nodes[0], dialers: nodes[1:], body: make([]byte, bodySize), accepted: map[parley.ID]*node{}, ended: map[parley.ID]error{}, answered: map[parley.ID]bool{}}
	for range len(l.dialers) * 2 * 100 { // twice what their queues take
		l.offer()
	}
	if l.refused == 0 {
		t.Fatal("the queues of the dialers took everything")
	}

	var heap, goroutines, journals []uint64
	begun := time.Now()
	for i := 0; i < answersInAll && (i < answersAtLeast || time.Since(begun) < loadLasts); i++ {
		l.answer()
		for range offersAnAnswer {
			l.offer()
		}
		l.collect()
		if i%answersASample == 0 {
			heap = append(heap, heapInUse())
			goroutines = append(goroutines, uint64(runtime.NumGoroutine()))
			journals = append(journals, l.largestJournal())
		}
	}
	t.Logf("of %d offers %d were accepted and %d answered", l.offers, len(l.accepted), len(l.answered))
	for _, of := range []struct {
		what    string
		samples []uint64
		margin  uint64
	}{
		{"bytes of heap", heap, heap[0]/4 + tablesOnHeap + 8<<20},
		{"goroutines", goroutines, goroutines[0] / 4},
		{"bytes of a journal", journals, 64 << 20}, // a few of its tables more or less
	} {
		half := len(of.samples) / 2
		before, after := slices.Max(of.samples[:half]), slices.Max(of.samples[half:])
		t.Logf("%s: at most %d in the first half and %d in the second", of.what, before, after)
		if after > before+of.margin {
			t.Errorf("%s grew from at most %d to %d", of.what, before, after)
		}
	}
	for i, n := range l.dialers {
		if n.Stats().Nacks == 0 {
			t.Errorf("dialer %d was never told to come back later", i)
		}
	}

	l.cancelAllOf(l.dialers[2])
	l.untilAllHaveEnded()
	l.check()
}

// tablesOnHeap is how many bytes of the journals' memory tables lie on Go's heap,
// and come to be filled: none, but under the race detector all.
var tablesOnHeap uint64

// load is what is offered, and what came of it.
type load struct {
	t       *testing.T
	bob     *node
	dialers []*node
	body    []byte

	offers, refused int
	accepted        map[parley.ID]*node // by whom
	ended           map[parley.ID]error // nil for those answered
	answered        map[parley.ID]bool  // by Bob
}

// offer makes a request, of the dialers and lanes in turn.
func (l *load) offer() {
	l.t.Helper()
	n := l.dialers[l.offers%len(l.dialers)]
	lane := l.offers / len(l.dialers) % lanesOfAPeer
	l.offers++
	ids, err := n.Send(parley.Message{Peer: l.bob.PeerID(), Address: l.bob.address, Lane: fmt.Sprint(lane), Body: l.body})
	switch {
	case err == nil:
		l.accepted[ids[0]] = n
	case errors.Is(err, parley.ErrQueueFull):
		l.refused++
	default:
		l.t.Fatalf("an offer gives %v", err)
	}
}

// answer has Bob's application take the next request and answer it.
func (l *load) answer() {
	l.t.Helper()
	for e := l.bob.next(); ; e = l.bob.next() {
		switch e.Kind {
		case parley.RequestReceived:
			l.take(e)
			return
		case parley.RequestAbandoned, parley.PeerLimited:
		default:
			l.t.Fatalf("%v (%v) came to Bob", e.Kind, e.Err)
		}
	}
}

func (l *load) take(e parley.Event) {
	l.t.Helper()
	if l.answered[e.ID] || l.accepted[e.ID] == nil {
		l.t.Fatalf("%v came a second time, or out of nothing", e.ID)
	}
	if err := l.bob.Reply(e.ID, e.Body); errors.Is(err, parley.ErrAbandoned) {
		return
	} else if err != nil {
		l.t.Fatal(err)
	}
	l.answered[e.ID] = true
}

// collect takes what the dialers are told.
func (l *load) collect() {
	l.t.Helper()
	for _, n := range l.dialers {
		for e, ok := n.CheckReceive(); ok; e, ok = n.CheckReceive() {
			if _, again := l.ended[e.ID]; again || l.accepted[e.ID] != n {
				l.t.Fatalf("%v: %v came a second time, or out of nothing", e.ID, e.Kind)
			}
			if e.Kind != parley.ReplyReceived && !errors.Is(e.Err, parley.ErrCancelled) {
				l.t.Fatalf("%v (%v) came to a dialer", e.Kind, e.Err)
			}
			l.ended[e.ID] = e.Err
		}
	}
}

// cancelAllOf has a dialer give up what it has not had answered.
func (l *load) cancelAllOf(n *node) {
	l.t.Helper()
	for id, by := range l.accepted {
		if _, over := l.ended[id]; by != n || over {
			continue
		}
		if err := n.Cancel(id); err != nil && !errors.Is(err, parley.ErrEnded) {
			l.t.Fatal(err)
		}
	}
}

// untilAllHaveEnded has Bob answer as fast as he can, and offers nothing more.
func (l *load) untilAllHaveEnded() {
	l.t.Helper()
	l.bob.until("everything has ended", func() bool {
		for e, ok := l.bob.CheckReceive(); ok; e, ok = l.bob.CheckReceive() {
			if e.Kind == parley.RequestReceived {
				l.take(e)
			}
		}
		l.collect()
		return len(l.ended) == len(l.accepted)
	})
	for _, n := range append(slices.Clone(l.dialers), l.bob) {
		n.untilNothingOpen()
	}
}

// check holds both sides' accounts against each other.
func (l *load) check() {
	l.t.Helper()
	for id, err := range l.ended {
		if err == nil && !l.answered[id] {
			l.t.Errorf("%v was answered, but not by Bob", id)
		}
		if err != nil && l.accepted[id] != l.dialers[2] {
			l.t.Errorf("%v failed with %v, and nobody cancelled it", id, err)
		}
	}
}

// heapInUse is how many bytes of the heap are still referred to.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// largestJournal is the size of the largest of all directories, in bytes.
func (l *load) largestJournal() uint64 {
	l.t.Helper()
	var largest uint64
	for _, n := range append(slices.Clone(l.dialers), l.bob) {
		var size uint64
		err := filepath.WalkDir(n.config.Dir, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted meanwhile
			}
			if err != nil || d.IsDir() {
				return err
			}
			if info, err := d.Info(); err == nil {
				size += uint64(info.Size())
			}
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
		largest = max(largest, size)
	}
	return largest
}
