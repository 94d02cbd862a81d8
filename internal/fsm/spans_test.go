package fsm

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-p2p/parley/internal/wire"
)

// TestEndedIsASet compares the spans with a plain set of numbers.
func TestEndedIsASet(t *testing.T) {
	const most = 40
	rapid.Check(t, func(t *rapid.T) {
		e, set := newEnded(), map[uint64]bool{0: true}
		for range rapid.IntRange(1, 30).Draw(t, "additions") {
			first := rapid.Uint64Range(1, most).Draw(t, "first")
			last := rapid.Uint64Range(0, most).Draw(t, "last")
			changed := false
			for seq := first; seq <= last; seq++ {
				changed = changed || !set[seq]
				set[seq] = true
			}
			if got := e.add(first, last); got != changed {
				t.Fatalf("adding %d to %d changed it: %v, want %v", first, last, got, changed)
			}
		}
		highest, spans := uint64(0), 0
		for seq := range uint64(most + 2) {
			if e.has(seq) != set[seq] {
				t.Fatalf("%d is in it: %v, want %v (%+v)", seq, e.has(seq), set[seq], e)
			}
			if set[seq] {
				highest = seq
			}
			if set[seq] && !set[seq+1] && seq >= e.low {
				spans++
			}
		}
		if e.highest() != highest || len(e.spans) != spans || set[e.low] {
			t.Fatalf("highest %d, %d spans, low %d, want %d and %d", e.highest(), len(e.spans), e.low, highest, spans)
		}
	})
}

// TestTimersFireInTheirOrder compares the heap with a plain list.
func TestTimersFireInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(testConfig())
		bells := make([]*bell, 8)
		for i := range bells {
			bells[i] = &bell{}
			bells[i].timer.owner = bells[i]
		}
		for range rapid.IntRange(1, 40).Draw(t, "settings") {
			b := rapid.SampledFrom(bells).Draw(t, "bell")
			b.at = time.Time{}
			if ms := rapid.IntRange(0, 10).Draw(t, "at"); ms > 0 {
				b.at = morning.Add(time.Duration(ms) * time.Millisecond)
			}
			m.wakeAt(&b.timer, b.at)
		}
		for ms := range 12 {
			now := morning.Add(time.Duration(ms) * time.Millisecond)
			m.fire(now)
			for _, b := range bells {
				if want := !b.at.IsZero() && !b.at.After(now); b.rang != want {
					t.Fatalf("at %v ms the bell of %v rang: %v", ms, b.at.Sub(morning), b.rang)
				}
			}
		}
		if len(m.timers) != 0 {
			t.Fatalf("%d timers are left", len(m.timers))
		}
	})
}

// bell is a thing with a timer.
type bell struct {
	timer timer
	at    time.Time
	rang  bool
}

func (b *bell) due(_ *Machine, _ time.Time) { b.rang = true }

func TestBackoffDoublesFromTheLeastToTheMostLessAHalfByChance(t *testing.T) {
	m := New(testConfig())
	for failures, want := range map[int]time.Duration{0: 750, 1: 750, 2: 1500, 3: 3000, 5: 12000, 6: 22500, 60: 22500} {
		if got := m.backoff(failures, 30*second); got != want*time.Millisecond {
			t.Errorf("after %d failures it waits for %v", failures, got)
		}
	}
	for _, chance := range []float64{0, 0.999999} {
		m.config.Jitter = func() float64 { return chance }
		if got := m.backoff(9, 30*second); got < 15*second || got >= 30*second {
			t.Errorf("chance %v makes it %v", chance, got)
		}
	}
}

// TestEndedIsRestoredFromItsBlocks saves a set after each change, as far as it
// has changed, and restores it of all that was written.
func TestEndedIsRestoredFromItsBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNode(noTest{})
		r := &n.m.peer(alice).responder
		r.epoch = 1
		written := map[string][]byte{}
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			if rapid.IntRange(0, 9).Draw(t, "new epoch") == 0 {
				r.epoch++
				r.ended.clear()
			}
			for range rapid.IntRange(1, 4).Draw(t, "additions") {
				first := rapid.Uint64Range(1, 4*blockSize).Draw(t, "first")
				r.ended.add(first, first+rapid.Uint64Range(0, 2*blockSize).Draw(t, "more"))
			}
			var b Batch
			r.save(&b)
			for _, record := range b.Records {
				if record.Value == nil {
					delete(written, string(record.Key))
				} else {
					written[string(record.Key)] = record.Value
				}
			}
			again := restored(noTest{}, n.m.config, written, n.now).peer(alice).responder.ended
			if again.low != r.ended.low || !slices.Equal(again.spans, r.ended.spans) || !maps.Equal(again.written, r.ended.written) {
				t.Fatalf("restored %+v, want %+v", again, r.ended)
			}
		}
	})
}

// A peer that leaves a hole behind every sequence makes this node write a block
// at a time, not all that it has left.
func TestHolesWithoutEndCostABlockEach(t *testing.T) {
	r := &New(testConfig()).peer(alice).responder
	for seq := uint64(2); seq < wire.MaxOpen; seq += 2 {
		r.ended.add(seq, seq)
		var b Batch
		r.save(&b)
		size := 0
		for _, record := range b.Records {
			size += len(record.Key) + len(record.Value)
		}
		if size > 8<<10 {
			t.Fatalf("the end of %d has %d bytes written", seq, size)
		}
	}
}

// noTest stands for a test where none may fail.
type noTest struct{ testing.TB }

func (noTest) Helper() {}
