package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// refusal is a disk that refuses one operation, which may also be one that reads.
type refusal struct {
	vfs.FS
	at      int64
	seen    atomic.Int64
	mu      sync.Mutex
	refused string // the operation, once it came
}

func refusing(disk vfs.FS, at int64) *refusal {
	r := &refusal{at: at}
	r.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if r.seen.Add(1)-1 != r.at {
			return nil
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refused = fmt.Sprintf("operation %d, %v of %s", r.at, op.Kind, op.Path)
		return syscall.EIO
	}))
	return r
}

func (r *refusal) what() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// isRefusal reports whether an error tells of the refusal. Of some of Pebble's own
// errors the text alone is left.
func isRefusal(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, ErrFailed) && strings.Contains(err.Error(), syscall.EIO.Error())
}

// everyRefusal runs do on a disk that refuses one operation: every third one, or
// with -everybyte each, until there are no more.
func everyRefusal(t *testing.T, do func(at int64) *refusal) {
	t.Helper()
	step := int64(3)
	if *everyByte {
		step = 1
	}
	for at := int64(0); ; at += step {
		if r := do(at); r.what() == "" {
			t.Logf("%d operations", at)
			return
		}
	}
}

// TestAnyRefusedOperationOfAnOpenIsHarmless refuses each operation while a journal
// is made, and while one with a log, a table and files is opened and read. Either
// all is there or there is an error that names the cause; and the next start
// finds all.
func TestAnyRefusedOperationOfAnOpenIsHarmless(t *testing.T) {
	crashed, w := written(t, 12)
	closed := copyOf(crashed) // has tables
	if _, err := recovered(memDir, closed); err != nil {
		t.Fatal(err)
	}
	whole := w.states[len(w.states)-1]
	for name, c := range map[string]struct {
		disk *vfs.MemFS
		want state
	}{
		"new":     {vfs.NewCrashableMem(), state{}},
		"crashed": {crashed, whole},
		"closed":  {closed, whole},
	} {
		t.Run(name, func(t *testing.T) {
			everyRefusal(t, func(at int64) *refusal {
				disk := copyOf(c.disk)
				r := refusing(disk, at)
				got, err := recovered(memDir, r)
				switch {
				case err == nil && !maps.Equal(got, c.want):
					t.Fatalf("%s: recovered %v without an error, want %v", r.what(), got, c.want)
				case err != nil && !isRefusal(err):
					t.Fatalf("%s: %v", r.what(), err)
				}
				if got, err := recovered(memDir, disk); err != nil || !maps.Equal(got, c.want) {
					t.Fatalf("%s: the next start has %v (%v), want %v", r.what(), got, err, c.want)
				}
				return r
			})
		})
	}
}

// TestAnyRefusedOperationOfADumpIsTold does the same with a dump: it changes
// nothing, and what it can't read it doesn't pass over.
func TestAnyRefusedOperationOfADumpIsTold(t *testing.T) {
	disk, _ := written(t, 10)
	want, err := dumped(disk)
	if err != nil {
		t.Fatal(err)
	}
	everyRefusal(t, func(at int64) *refusal {
		r := refusing(disk, at)
		got, err := dumped(r)
		switch {
		case err == nil && got != want:
			t.Fatalf("%s: dumped without an error\n%s\nwant\n%s", r.what(), got, want)
		case err != nil && !isRefusal(err):
			t.Fatalf("%s: %v", r.what(), err)
		}
		return r
	})
	if got, err := dumped(disk); err != nil || got != want {
		t.Fatalf("dumped at last (%v)\n%s\nwant\n%s", err, got, want)
	}
}

// TestAnyRefusedOperationOfAPayloadFile refuses each operation while a payload's
// file is written, named, read and dropped: nothing is lost, and no more than that
// payload fails.
func TestAnyRefusedOperationOfAPayloadFile(t *testing.T) {
	everyRefusal(t, func(at int64) *refusal {
		r := refusing(vfs.NewMem(), at)
		f, err := openPayloadFiles(r, "/payloads", quiet)
		if err != nil {
			if !isRefusal(err) {
				t.Fatalf("%s: %v", r.what(), err)
			}
			return r
		}
		payload := pattern(pieceSize + 1)
		w, err := f.create(1, int64(len(payload)))
		if err == nil {
			if _, err = w.Write(payload); err == nil {
				err = w.finish()
			}
			if err != nil {
				w.abort()
			}
		}
		if f.has(1) != (err == nil) {
			t.Fatalf("%s: stored: %v, yet %v", r.what(), f.has(1), err)
		}
		if err == nil {
			var got []byte
			var file *fileReader
			if file, err = f.open(1); err == nil {
				got, err = io.ReadAll(file)
				err = errors.Join(err, file.file.Close())
			}
			if err == nil && !bytes.Equal(got, payload) {
				t.Fatalf("%s: %d bytes are read, want %d", r.what(), len(got), len(payload))
			}
		}
		if err != nil && !isRefusal(err) {
			t.Fatalf("%s: %v", r.what(), err)
		}
		f.drop([]uint64{1}, true)
		f.removals.Wait()
		if f.has(1) {
			t.Fatalf("%s: it is dropped and there", r.what())
		}
		return r
	})
}

// TestNothingChangesOnDiskAfterAFailure calls all that Pebble could still call.
func TestNothingChangesOnDiskAfterAFailure(t *testing.T) {
	disk := vfs.NewMem()
	g := &guard{FS: disk, failure: newFailure()}
	if err := g.MkdirAll("/records", 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := g.Create("/records/a", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, disk)
	cause := g.failure.latch(syscall.ENOSPC)
	for what, call := range map[string]func() error{
		"create": func() error { _, err := g.Create("/records/b", vfs.WriteCategoryUnspecified); return err },
		"open":   func() error { _, err := g.OpenReadWrite("/records/b", vfs.WriteCategoryUnspecified); return err },
		"reuse": func() error {
			_, err := g.ReuseForWrite("/records/a", "/records/b", vfs.WriteCategoryUnspecified)
			return err
		},
		"link":       func() error { return g.Link("/records/a", "/records/b") },
		"remove":     func() error { return g.Remove("/records/a") },
		"remove all": func() error { return g.RemoveAll("/records") },
		"rename":     func() error { return g.Rename("/records/a", "/records/b") },
		"mkdir":      func() error { return g.MkdirAll("/other", 0o755) },
		"write":      func() error { _, err := file.Write([]byte("b")); return err },
		"write at":   func() error { _, err := file.WriteAt([]byte("b"), 0); return err },
		"sync":       file.Sync,
		"sync data":  file.SyncData,
		"sync to":    func() error { _, err := file.SyncTo(0); return err },
	} {
		if err := call(); err != cause {
			t.Errorf("%s: %v, want %v", what, err, cause)
		}
	}
	if after := listing(t, disk); after != before {
		t.Errorf("there is now\n%s\nand was\n%s", after, before)
	}
	// A log can't be refused: it is begun, in memory.
	if _, err := g.Create("/records/000001.log", vfs.WriteCategoryUnspecified); err != nil || listing(t, disk) != before {
		t.Errorf("a log: %v, on disk\n%s", err, listing(t, disk))
	}
}

// listing names every file with its size.
func listing(t *testing.T, disk *vfs.MemFS) string {
	t.Helper()
	var lines []string
	for _, dir := range []string{"/", "/records"} {
		names, err := disk.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, name := range names {
			info, err := disk.Stat(disk.PathJoin(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%s/%s %d", dir, name, info.Size()))
		}
	}
	return strings.Join(lines, "\n")
}
