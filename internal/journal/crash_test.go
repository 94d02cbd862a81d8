package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

const memDir = "/journal"

// workload writes the same batches each time: records that name payloads small
// and large, and drop those that they named before.
type workload struct {
	t testing.TB
	j *Journal

	mu     sync.Mutex
	states []state // after each batch, the first before any
	synced int     // index of the state that was last acknowledged as durable
}

// state is what the records say: by key, "number size" of the payload named.
type state map[string]string

func newWorkload(t testing.TB) *workload { return &workload{t: t, states: []state{{}}} }

// step commits batch i. Every third is synced, every tenth has a large payload.
func (w *workload) step(i int) error {
	j := w.j
	size, sync := 100+37*i, i%3 == 0
	if i%10 == 9 {
		size = FileSize + i
	}
	number := j.NextPayload()
	b := j.Batch()
	if i%2 == 0 && size < FileSize {
		b.SetPayload(number, pattern(size))
	} else {
		writer, err := j.CreatePayload(number, int64(size))
		if err == nil {
			if _, err = writer.Write(pattern(size)); err == nil {
				err = writer.Finish()
			}
		}
		if err != nil {
			b.Discard()
			return err
		}
	}
	w.mu.Lock()
	next := maps.Clone(w.states[len(w.states)-1])
	w.mu.Unlock()
	key := fmt.Sprintf("key %d", i%4)
	if old, ok := next[key]; ok {
		b.DropPayload(numberOf(old))
	}
	next[key] = fmt.Sprintf("%d %d", number, size)
	next["last"] = fmt.Sprintf("0 %d", i)
	b.Set([]byte(key), []byte(next[key]))
	b.Set([]byte("last"), []byte(next["last"]))
	w.mu.Lock()
	w.states = append(w.states, next)
	w.mu.Unlock()
	if err := b.Commit(sync); err != nil {
		return err
	}
	if sync {
		w.mu.Lock()
		w.synced = len(w.states) - 1
		w.mu.Unlock()
	}
	return nil
}

func numberOf(value string) (number uint64) {
	fmt.Sscan(value, &number)
	return number
}

// recovered opens a journal and returns what it holds, every payload verified.
func recovered(dir string, fs vfs.FS) (got state, err error) {
	j, err := Open(dir, options(fs))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	got = state{}
	if err := j.Replay(func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	}); err != nil {
		return nil, err
	}
	named := make(map[uint64]bool)
	for key, value := range got {
		if key == "last" {
			continue
		}
		var number, size uint64
		fmt.Sscan(value, &number, &size)
		p, err := j.Payload(number)
		if err != nil {
			return nil, fmt.Errorf("%s names payload %d: %w", key, number, err)
		}
		if !bytes.Equal(p, pattern(int(size))) {
			return nil, fmt.Errorf("%s names payload %d, which differs", key, number)
		}
		named[number] = true
	}
	_, err = j.Sweep(maps.Keys(named))
	return got, err
}

// wantOneOf expects a state that is no older than the last one acknowledged.
func wantOneOf(t testing.TB, what string, got state, allowed []state) {
	t.Helper()
	for _, s := range allowed {
		if maps.Equal(got, s) {
			return
		}
	}
	t.Fatalf("%s: recovered %v, want one of the %d from %v on", what, got, len(allowed), allowed[0])
}

// TestCrash cuts the power before any write to the disk, with any part of what
// wasn't synced lost.
func TestCrash(t *testing.T) {
	noLeaks(t)
	type crash struct {
		fs      *vfs.MemFS
		synced  int
		begun   int
		percent int
		op      string
	}
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorkload(t)
		disk := vfs.NewCrashableMem()
		var mu sync.Mutex
		var crashes []crash
		fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if rng.IntN(4) > 0 {
				return nil
			}
			percent := []int{0, 30, 70, 100}[rng.IntN(4)]
			w.mu.Lock()
			defer w.mu.Unlock()
			crashes = append(crashes, crash{
				fs:     disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, rng.Uint64()))}),
				synced: w.synced, begun: len(w.states), percent: percent, op: op.Path,
			})
			return nil
		}))
		w.j = mustOpen(t, memDir, fs)
		for i := range 40 {
			if err := w.step(i); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, w.j)
		mu.Lock()
		defer mu.Unlock()
		for i, c := range crashes {
			what := fmt.Sprintf("seed %d, crash %d of %d at %s with %d%% of the unsynced kept", seed, i, len(crashes), c.op, c.percent)
			var last state
			for range 2 {
				got, err := recovered(memDir, c.fs)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				wantOneOf(t, what, got, w.states[c.synced:c.begun])
				if last != nil && !maps.Equal(got, last) {
					t.Fatalf("%s: the second start has %v, the first had %v", what, got, last)
				}
				last = got
			}
		}
	}
}

func TestNewDirectoriesOutliveACrash(t *testing.T) {
	const dir = "/var/lib/parley/journal"
	disk := vfs.NewCrashableMem()
	j := mustOpen(t, dir, disk)
	set(t, j, true, "last", "first")
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, j)
	if got, err := recovered(dir, crashed); err != nil || !maps.Equal(got, state{"last": "first"}) {
		t.Fatalf("recovered %v (%v), want what was acknowledged", got, err)
	}
}

// TestPayloadNumberOutlivesAPowerCut cuts the power after a number was given and a
// payload's file written under it, with nothing else synced: of the numbers reserved
// at the start, and of those reserved when they were used up.
func TestPayloadNumberOutlivesAPowerCut(t *testing.T) {
	for name, usedUp := range map[string]bool{"at the start": false, "when they are used up": true} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			j := mustOpen(t, memDir, disk)
			if usedUp {
				j.next = j.reservedTo
			}
			number := putPayload(t, j, pattern(FileSize))
			crashed := disk.CrashClone(vfs.CrashCloneCfg{})
			mustClose(t, j)
			j = mustOpen(t, memDir, crashed)
			defer mustClose(t, j)
			if next := putPayload(t, j, pattern(FileSize+1)); next <= number {
				t.Fatalf("number %d is given, %d was before", next, number)
			}
			wantPayload(t, j, number, pattern(FileSize))
		})
	}
}

// written returns the disk of a journal that was written and not closed.
func written(t testing.TB, batches int) (*vfs.MemFS, *workload) {
	disk := vfs.NewCrashableMem()
	w := newWorkload(t)
	w.j = mustOpen(t, memDir, disk)
	for i := range batches {
		if err := w.step(i); err != nil {
			t.Fatal(err)
		}
	}
	set(t, w.j, true, "last", fmt.Sprintf("0 %d", batches-1)) // syncs all
	clone := copyOf(disk)
	mustClose(t, w.j)
	return clone, w
}

// copyOf copies a disk with all that is on it, synced or not.
func copyOf(disk *vfs.MemFS) *vfs.MemFS {
	return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// contents returns a file's bytes in place.
func contents(t testing.TB, disk *vfs.MemFS, name string) []byte {
	t.Helper()
	b, err := disk.UnsafeGetFileDataBuffer(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// filesOf lists all files with something in them.
func filesOf(t testing.TB, disk *vfs.MemFS) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{recordsDir, payloadsDir} {
		names, err := disk.List(memDir + "/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := memDir + "/" + dir + "/" + name
			if len(contents(t, disk, path)) > 0 {
				files = append(files, path)
			}
		}
	}
	slices.Sort(files)
	return files
}

// replaced writes a file anew.
func replaced(t testing.TB, disk vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(b)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
