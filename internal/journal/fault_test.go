package journal

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faultyDisk refuses operations that change it, from a certain one on.
type faultyDisk struct {
	vfs.FS
	mu      sync.Mutex
	changes int // operations so far
	from    int // the first one refused; negative: none
	until   int // the first one allowed again
	refused int
	only    func(op errorfs.Op) bool
}

func newFaultyDisk(disk vfs.FS) *faultyDisk {
	f := &faultyDisk{from: -1, only: func(errorfs.Op) bool { return true }}
	f.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(f.judge))
	return f
}

func (f *faultyDisk) judge(op errorfs.Op) error {
	f.mu.Lock()
	only := f.only
	f.mu.Unlock()
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose || !only(op) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.changes
	f.changes++
	if f.from < 0 || at < f.from || at >= f.until {
		return nil
	}
	f.refused++
	return syscall.ENOSPC
}

// concern limits what is counted and refused to some operations.
func (f *faultyDisk) concern(only func(op errorfs.Op) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.only = only
}

// set refuses the operations from one number until another, counted from now.
func (f *faultyDisk) set(from, until int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.from, f.until, f.refused = 0, from, until, 0
}

// TestFaultyDisk refuses one operation after the other: once, or from then on.
// Nothing that was acknowledged is lost, whether the machine then restarts with
// all that was written or crashes.
func TestFaultyDisk(t *testing.T) {
	const forever = 1 << 30
	for _, c := range []struct {
		name  string
		until func(from int) int
	}{
		{"refuses one operation", func(from int) int { return from + 1 }},
		{"is full from then on", func(int) int { return forever }},
	} {
		t.Run(c.name, func(t *testing.T) {
			failures, step := 0, 5
			if *everyByte {
				step = 1
			}
			for from := 0; ; from += step {
				memory := vfs.NewCrashableMem()
				disk := newFaultyDisk(memory)
				disk.set(from, c.until(from))
				w := newWorkload(t)
				what := fmt.Sprintf("from operation %d on", from)
				j, err := Open(memDir, options(disk))
				if err == nil {
					w.j = j
					failures += w.runUntilFailed(what)
					_ = j.Close() // a failed journal has nothing left to save
				}
				disk.mu.Lock()
				refused := disk.refused
				disk.mu.Unlock()
				disk.set(-1, 0)
				crashed := memory.CrashClone(vfs.CrashCloneCfg{})
				for name, fs := range map[string]vfs.FS{"restart": disk, "crash": crashed} {
					got, err := recovered(memDir, fs)
					if err != nil {
						t.Fatalf("%s: %s: %v", what, name, err)
					}
					wantOneOf(t, what+": "+name, got, w.states[w.synced:])
				}
				if refused == 0 {
					t.Logf("%d operations, %d failures", from, failures)
					if failures == 0 {
						t.Fatal("no commit failed")
					}
					return
				}
			}
		})
	}
}

// runUntilFailed works until a commit fails, and then expects that all else
// fails too. It returns how often that was: 0 or 1.
func (w *workload) runUntilFailed(what string) int {
	w.t.Helper()
	for i := range 24 {
		err := w.step(i)
		if err == nil || !errors.Is(err, ErrFailed) && w.j.Err() == nil {
			continue // or a payload's file was refused, which is no failure of the journal
		}
		select {
		case <-w.j.Failed():
		default:
			w.t.Fatalf("%s: commit gives %v and the journal hasn't failed", what, err)
		}
		b := w.j.Batch()
		b.Set([]byte("late"), nil)
		if err := b.Commit(true); !errors.Is(err, ErrFailed) {
			w.t.Fatalf("%s: a commit after the failure gives %v", what, err)
		}
		if _, err := w.j.Payload(1); !errors.Is(err, ErrFailed) {
			w.t.Fatalf("%s: a read after the failure gives %v", what, err)
		}
		if _, err := w.j.CreatePayload(w.j.NextPayload(), 1); !errors.Is(err, ErrFailed) {
			w.t.Fatalf("%s: a payload after the failure gives %v", what, err)
		}
		if !errors.Is(w.j.Err(), ErrFailed) || !errors.Is(w.j.Err(), syscall.ENOSPC) {
			w.t.Fatalf("%s: the failure is %v", what, w.j.Err())
		}
		return 1
	}
	return 0
}

func TestFailedSyncFailsTheJournal(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem())
	j := mustOpen(t, memDir, disk)
	set(t, j, true, "a", "1")
	disk.concern(func(op errorfs.Op) bool {
		return strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync)
	})
	disk.set(0, 1)
	b := j.Batch()
	b.Set([]byte("b"), []byte("2"))
	if err := b.Commit(true); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("commit: %v", err)
	}
	if _, err := Open(memDir, options(disk)); !errors.Is(err, ErrLocked) {
		t.Fatalf("a failed journal isn't locked any more before it is closed: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	got, err := records(j)
	if err != nil || len(got) == 0 || got[0] != "a=1" {
		t.Fatalf("records are %q (%v)", got, err)
	}
}

// TestFullDiskInTheBackground refuses tables alone: commits go on until Pebble
// reports that it can't flush.
func TestFullDiskInTheBackground(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem())
	j := mustOpen(t, memDir, disk)
	disk.concern(func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") })
	disk.set(0, 1<<30)
	payload := pattern(FileSize / 2)
	var failed error
	for i := 0; failed == nil && i < 1000; i++ {
		b := j.Batch()
		b.SetPayload(j.NextPayload(), payload)
		failed = b.Commit(true)
	}
	if !errors.Is(failed, ErrFailed) || !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("commit: %v", failed)
	}
	disk.mu.Lock()
	tries := disk.refused
	disk.mu.Unlock()
	if tries > 10 {
		t.Fatalf("a table that can't be written was tried %d times", tries)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	disk.set(-1, 0)
	mustClose(t, mustOpen(t, memDir, disk))
}

// TestLogThatIsRefused refuses to begin the next log, to write it, or to sync it,
// until the one after it would be begun. None of that ends the process, which is what
// Pebble makes of it.
func TestLogThatIsRefused(t *testing.T) {
	for what, kinds := range map[string][]errorfs.OpKind{
		"begun":   {errorfs.OpCreate, errorfs.OpReuseForWrite},
		"written": {errorfs.OpFileWrite},
		"synced":  {errorfs.OpFileSync, errorfs.OpFileSyncData},
	} {
		t.Run(what, func(t *testing.T) {
			disk := newFaultyDisk(vfs.NewMem())
			j := mustOpen(t, memDir, disk)
			set(t, j, true, "a", "1")
			disk.concern(func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") && slices.Contains(kinds, op.Kind) })
			disk.set(0, 1<<30)
			var committing sync.WaitGroup
			for range 4 { // one of them learns of it, the others may be under way
				committing.Go(func() {
					for j.Err() == nil {
						b := j.Batch()
						b.SetPayload(j.NextPayload(), pattern(FileSize/2))
						_ = b.Commit(false)
					}
				})
			}
			committing.Wait()
			if err := j.Err(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("the failure is %v", err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			disk.set(-1, 0)
			j = mustOpen(t, memDir, disk)
			defer mustClose(t, j)
			if got, err := records(j); err != nil || len(got) == 0 || got[0] != "a=1" {
				t.Fatalf("records are %q (%v)", got, err)
			}
		})
	}
}

// TestCommitThatWaitsForAFlushLearnsOfItsFailure holds back all tables until
// commits have to wait, and then refuses them.
func TestCommitThatWaitsForAFlushLearnsOfItsFailure(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem())
	j := mustOpen(t, memDir, disk)
	held := make(chan struct{})
	disk.concern(func(op errorfs.Op) bool {
		if !strings.HasSuffix(op.Path, ".sst") {
			return false
		}
		<-held
		return true
	})
	disk.set(0, 1<<30)
	waiting := j.store.(*pebbleStore).backlog
	go func() {
		defer close(held)
		for {
			waiting.mu.Lock()
			full := waiting.eased != nil
			waiting.mu.Unlock()
			if full {
				return
			}
			runtime.Gosched()
		}
	}()
	var failed error
	written := 0
	for payload := pattern(FileSize / 2); failed == nil; written += len(payload) {
		b := j.Batch()
		b.SetPayload(j.NextPayload(), payload)
		failed = b.Commit(false)
	}
	if !errors.Is(failed, ErrFailed) || !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("commit: %v", failed)
	}
	if limit := (maxMemTables + 2) * memTableSize; written > limit {
		t.Fatalf("%d bytes were taken without a flush, more than %d", written, limit)
	}
	_ = j.Close()
}

func TestRefusedPayloadFileFailsNothingElse(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem())
	j := mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	disk.concern(func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, fileSuffix) })
	for refused := range 4 {
		disk.set(refused, refused+1)
		number := j.NextPayload()
		w, err := j.CreatePayload(number, FileSize)
		if err == nil {
			if _, err = w.Write(pattern(FileSize)); err == nil {
				err = w.Finish()
			} else {
				w.Abort()
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d on the file: %v", refused, err)
		}
		wantNoPayload(t, j, number)
		set(t, j, true, "a", "1")
	}
	if left, err := j.files.list(); err != nil || len(left) != 0 {
		t.Fatalf("files %v are left (%v)", left, err)
	}
}

func TestLow(t *testing.T) {
	disk := vfs.NewMem()
	j := mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	for free, want := range map[uint64]bool{defaultMinFree - 1: true, defaultMinFree: false} {
		disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free})
		if j.Low() != want {
			t.Errorf("with %d bytes free Low is %v", free, !want)
		}
	}
}
