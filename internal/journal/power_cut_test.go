package journal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var cuts = flag.Int("cuts", 600, "how many power cuts TestPowerCuts makes")

// TestPowerCuts cuts the power at random writes of random work, each time with
// any part of what wasn't synced lost. The machine that restarts loses its power
// again, most often while it still recovers.
func TestPowerCuts(t *testing.T) {
	noLeaks(t)
	const parts = 4
	var all tally
	t.Run("all", func(t *testing.T) {
		for seed := range uint64(parts) {
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				t.Parallel()
				cutPower(t, seed, (*cuts+parts-1)/parts, &all)
			})
		}
	})
	t.Logf("after which %d payloads of 1 MiB and more were found whole", all.large)
	t.Logf("%d power cuts, by what the machine did and what it was about to write:", all.sum())
	for _, place := range slices.Sorted(maps.Keys(all.cuts)) {
		t.Logf("%8d  %s", all.cuts[place], place)
	}
}

// tally counts power cuts by their place.
type tally struct {
	mu    sync.Mutex
	cuts  map[string]int
	large int // payloads of FileSize and more, found after one
}

func (a *tally) add(place string, large int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cuts == nil {
		a.cuts = make(map[string]int)
	}
	a.cuts[place]++
	a.large += large
}

func (a *tally) sum() (n int) {
	for _, cuts := range a.cuts {
		n += cuts
	}
	return n
}

// powerCut is a disk after the power came back, and what may be on it.
type powerCut struct {
	disk    *vfs.MemFS
	allowed []state // one of these
	given   uint64  // the highest payload number that was given
	depth   int     // power cuts before this one, since the journal was made
	place   string  // phase and kind of file
}

const maxDepth = 30 // power cuts one after the other; then a new journal is made

// cutPower restarts from one power cut after the other, and takes the next ones
// from what the machine does then.
func cutPower(t *testing.T, seed uint64, n int, all *tally) {
	rng := rand.New(rand.NewPCG(seed, 2))
	var waiting []powerCut
	for verified := 0; verified < n; {
		next := powerCut{disk: vfs.NewCrashableMem(), allowed: []state{{}}}
		if len(waiting) > 0 {
			next = waiting[len(waiting)-1]
			waiting = waiting[:len(waiting)-1]
			verified++
		}
		m := &machine{t: t, rng: rng, from: next, last: slices.Clone(next.allowed), phase: "opening"}
		m.what = fmt.Sprintf("seed %d, cut %d, the %d. in a row, while %s", seed, verified, next.depth, next.place)
		waiting = append(waiting, m.live()...)
		if next.place != "" {
			all.add(next.place, m.large)
		}
	}
}

// machine runs from a start to its end, and remembers some moments at which its
// power may have been cut.
type machine struct {
	t    *testing.T
	rng  *rand.Rand // of the turn's goroutine
	from powerCut
	what string
	j    *Journal
	now  state // what the turn has committed

	large  int // payloads of FileSize and more that were found
	mu     sync.Mutex
	phase  string
	last   []state // what may be found after a power cut, the oldest first
	given  uint64
	writes int   // so far
	at     []int // which writes the power is cut before, ascending
	cuts   []powerCut
}

func (m *machine) live() []powerCut {
	t := m.t
	m.given = m.from.given
	opening, working := 1+m.rng.IntN(50), 20+m.rng.IntN(120)
	m.at = []int{opening, working}
	if m.from.depth >= maxDepth {
		m.at = nil
	}
	seed := m.rng.Uint64()
	cutRNG := rand.New(rand.NewPCG(seed, 3))
	fs := errorfs.Wrap(m.from.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			m.cut(op, cutRNG)
		}
		return nil
	}))
	m.open(fs)
	m.settleOpening()
	m.verify()
	if m.rng.IntN(3) > 0 { // else the machine only recovers
		m.work()
		if m.rng.IntN(4) == 0 {
			m.close()
			m.enter("opening again")
			m.open(fs)
			if got := m.read(); !maps.Equal(got, m.now) {
				t.Fatalf("%s: closed and opened again: %v, want %v", m.what, got, m.now)
			}
			m.work()
		}
	}
	m.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cuts
}

// cut takes a copy of the disk as a power cut leaves it.
func (m *machine) cut(op errorfs.Op, rng *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if len(m.at) == 0 || m.writes < m.at[0] {
		return
	}
	m.at = m.at[1:]
	percent := []int{0, 30, 70, 100}[rng.IntN(4)]
	m.cuts = append(m.cuts, powerCut{
		disk:    m.from.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}),
		allowed: slices.Clone(m.last),
		given:   m.given,
		depth:   m.from.depth + 1,
		place:   m.phase + ": " + fileKind(op),
	})
}

// fileKind is what a file of the journal is, for the tally.
func fileKind(op errorfs.Op) string {
	base := path.Base(op.Path)
	for _, prefix := range []string{"MANIFEST", "OPTIONS", "marker", "temporary", lockFile, watermarkFile} {
		if strings.HasPrefix(base, prefix) {
			return prefix
		}
	}
	switch ext := path.Ext(base); {
	case ext == ".log" && op.Kind == errorfs.OpCreate:
		return "the next .log"
	case ext != "" && ext != ".new":
		return ext
	}
	return "directory"
}

func (m *machine) enter(phase string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phase = phase
}

func (m *machine) open(fs vfs.FS) {
	o := options(fs)
	o.CacheBytes = 6000 // what comes beside that goes to a file, however small
	j, err := Open(memDir, o)
	if err != nil {
		m.t.Fatalf("%s: %v", m.what, err)
	}
	m.j = j
}

// settleOpening expects one of the allowed states. A power cut that struck while
// the journal recovered must leave the same one: what outlived the cut before is
// on the disk.
func (m *machine) settleOpening() {
	m.now = m.read()
	wantOneOf(m.t, m.what, m.now, m.from.allowed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = []state{m.now}
	for i := range m.cuts {
		m.cuts[i].allowed = m.last
	}
	m.phase = "working"
}

// read returns what the records say.
func (m *machine) read() state {
	m.t.Helper()
	got := state{}
	if err := m.j.Replay(func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	}); err != nil {
		m.t.Fatalf("%s: %v", m.what, err)
	}
	return got
}

// verify reads every payload that is named, and expects no other after a sweep.
func (m *machine) verify() {
	named := make(map[uint64]bool)
	for key, value := range m.now {
		var number, size uint64
		fmt.Sscan(value, &number, &size)
		p, err := m.j.Payload(number)
		if err != nil || !bytes.Equal(p, numbered(number, int(size))) {
			m.t.Fatalf("%s: %s names payload %d of %d bytes, which has %d (%v)", m.what, key, number, size, len(p), err)
		}
		named[number] = true
		if size >= FileSize {
			m.large++
		}
	}
	if _, err := m.j.Sweep(maps.Keys(named)); err != nil {
		m.t.Fatalf("%s: %v", m.what, err)
	}
	m.j.files.removals.Wait()
	stored, err := m.j.Payloads()
	if err != nil || len(stored) != len(named) {
		m.t.Fatalf("%s: %d payloads are stored after the sweep, %d are named (%v)", m.what, len(stored), len(named), err)
	}
	m.number()
}

// number takes a payload's number, which must never have been given.
func (m *machine) number() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	number := m.j.NextPayload()
	if number <= m.given {
		m.t.Errorf("%s: payload number %d is given, %d was before", m.what, number, m.given)
	}
	m.given = number
	return number
}

// numbered is a payload that hardly another number has: a part of the noise, not to
// be changed.
func numbered(number uint64, size int) []byte {
	at := number * 0x9e3779b97f4a7c15 >> 44 // 20 bits, spread (Knuth, 6.4)
	return noise()[at:][:size]
}

// noise is made once, for most of what is tried is the making of payloads otherwise.
var noise = sync.OnceValue(func() []byte {
	p := make([]byte, 1<<20+largest)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p) // never fails
	return p
})

const largest = FileSize + 2*pieceSize // payload of a machine

func (m *machine) work() {
	m.enter("working")
	for range 1 + m.rng.IntN(6) {
		if m.cutAll() {
			return // what it does from now on comes before no power cut
		}
		m.turn()
	}
}

// cutAll reports whether no more power cuts are taken from this machine.
func (m *machine) cutAll() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.at) == 0
}

// turn lets up to three streams bring payloads while batches are committed, and
// then commits the records that name them.
func (m *machine) turn() {
	type arrived struct {
		number uint64
		size   int
	}
	var streams sync.WaitGroup
	came := make([]arrived, m.rng.IntN(4))
	for i := range came {
		came[i] = arrived{m.number(), m.size()}
		streams.Go(func() { m.stream(came[i].number, came[i].size) })
	}
	for range m.rng.IntN(3) {
		number, size := m.number(), min(m.size(), FileSize-1)
		b := m.j.Batch()
		b.SetPayload(number, numbered(number, size))
		m.commit(b, number, size)
	}
	streams.Wait()
	for _, a := range came {
		m.commit(m.j.Batch(), a.number, a.size)
	}
}

// size is a payload's: few are large, and fewer of the size that always gets a file.
func (m *machine) size() int {
	switch m.rng.IntN(200) {
	case 0:
		return FileSize + m.rng.IntN(3) - 1
	case 1:
		return FileSize + m.rng.IntN(largest-FileSize)
	}
	switch m.rng.IntN(40) {
	case 0:
		return 100_000 + m.rng.IntN(100_000)
	case 1, 2:
		return pieceSize + m.rng.IntN(3) - 1
	default:
		return m.rng.IntN(5000)
	}
}

func (m *machine) stream(number uint64, size int) {
	w, err := m.j.CreatePayload(number, int64(size))
	if err == nil {
		_, err = w.Write(numbered(number, size))
		err = errors.Join(err, w.Finish())
	}
	if err != nil {
		m.t.Errorf("%s: payload %d: %v", m.what, number, err)
	}
}

// commit names a payload in a record, or drops the one that the record named.
func (m *machine) commit(b *Batch, number uint64, size int) {
	next := maps.Clone(m.now)
	key := fmt.Sprintf("key %d", m.rng.IntN(6))
	if old, ok := next[key]; ok {
		b.DropPayload(numberOf(old))
	}
	next[key] = fmt.Sprintf("%d %d", number, size)
	b.Set([]byte(key), []byte(next[key]))
	if gone := fmt.Sprintf("key %d", m.rng.IntN(12)); gone != key && next[gone] != "" {
		b.DropPayload(numberOf(next[gone]))
		b.Delete([]byte(gone))
		delete(next, gone)
	}
	m.mu.Lock()
	m.last = append(m.last, next)
	m.mu.Unlock()
	sync := m.rng.IntN(2) == 0
	if err := b.Commit(sync); err != nil {
		m.t.Fatalf("%s: commit: %v", m.what, err)
	}
	m.now = next
	if sync {
		m.mu.Lock()
		m.last = []state{next}
		m.mu.Unlock()
	}
}

func (m *machine) close() {
	m.enter("closing")
	if err := m.j.Close(); err != nil {
		m.t.Fatalf("%s: close: %v", m.what, err)
	}
}
