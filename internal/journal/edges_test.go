package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFailedJournalRefusesEverything expects the failure of every method.
func TestFailedJournalRefusesEverything(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "on a disk": memDir} {
		t.Run(name, func(t *testing.T) {
			j := mustOpen(t, dir, vfs.NewMem())
			w, err := j.CreatePayload(j.NextPayload(), FileSize)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, FileSize)); err != nil {
				t.Fatal(err)
			}
			if stats := j.Stats(); stats.RecordBytes == 0 {
				t.Errorf("before the failure the stats are %+v", stats)
			}
			j.failure.latch(syscall.ENOSPC)
			j.reservedTo = j.next
			b := j.Batch()
			b.Set([]byte("a"), nil)
			_, payloadErr := j.Payload(1)
			_, openErr := j.OpenPayload(1)
			_, createErr := j.CreatePayload(1, 1)
			_, sweepErr := j.Sweep(slices.Values([]uint64(nil)))
			for what, err := range map[string]error{
				"commit": b.Commit(true), "replay": j.Replay(nil), "payload": payloadErr, "open": openErr,
				"create": createErr, "sweep": sweepErr, "reserve": j.reserve(),
				"write": j.writeError(syscall.ENOSPC),
			} {
				if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if dir != "" && !errors.Is(w.Finish(), ErrFailed) {
				t.Error("a payload is stored")
			}
			if number := j.NextPayload(); number != j.reservedTo {
				t.Errorf("number %d is given, want %d all the same", number, j.reservedTo)
			}
			if j.Low() || j.Stats() != (Stats{}) {
				t.Errorf("low: %v, stats %+v", j.Low(), j.Stats())
			}
			_ = j.Close() // a failed journal has nothing left to save
		})
	}
}

func TestStatsCountWhatIsHeld(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "on a disk": memDir} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMem()
			disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 4711})
			j := mustOpen(t, dir, disk)
			defer mustClose(t, j)
			putPayload(t, j, pattern(100))
			putPayload(t, j, pattern(FileSize))
			got := j.Stats()
			want := Stats{RecordBytes: got.RecordBytes, PayloadFiles: 1, PayloadBytes: FileSize, CachedPayloads: 1, CachedBytes: 100}
			if dir != "" {
				want.FreeBytes = 4711
			}
			if got != want || got.RecordBytes == 0 {
				t.Fatalf("stats are %+v, want %+v", got, want)
			}
		})
	}
}

// TestDamagedRowIsRefused writes rows of Pebble's whole and not of this journal.
func TestDamagedRowIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		sealed []byte // nil: sealed well, and empty
		where  string
		failed func(*Journal) error
	}{
		"record": {"ra", []byte{1, 2, 3, 4, 5, 6}, "record 61", func(j *Journal) error { return j.Replay(nil) }},
		"payload": {"p\x00\x00\x00\x00\x00\x00\x00\x09", []byte{1}, "payload 9", func(j *Journal) error {
			_, err := j.Payload(9)
			_, opening := j.OpenPayload(9)
			return errors.Join(err, opening)
		}},
		"payload's number": {"p\x09", nil, "row 7009", func(j *Journal) error {
			_, err := j.Sweep(slices.Values([]uint64(nil)))
			return err
		}},
		"row of numbers": {"n", nil, "the row of payload numbers", func(j *Journal) error { return j.recoverNumbers() }},
		"damaged numbers": {"n", []byte{1, 2, 3, 4, 5, 6}, "the row of payload numbers", func(j *Journal) error {
			return j.recoverNumbers()
		}},
		"header": {"h", []byte{1, 2, 3, 4, 5, 6}, "the header row", func(j *Journal) error { return j.checkOwner("alice") }},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMem()
			j := mustOpen(t, memDir, disk)
			sealed := c.sealed
			if sealed == nil {
				sealed = make([]byte, sealSize)
				seal(sealed, []byte(c.key), nil)
			}
			if err := j.store.(*pebbleStore).db.Set([]byte(c.key), sealed, nil); err != nil {
				t.Fatal(err)
			}
			var damage *DamageError
			if err := c.failed(j); !errors.As(err, &damage) || damage.Where != c.where {
				t.Fatalf("%v, want damage of %s", err, c.where)
			}
			mustClose(t, j)
			if out, err := dumped(disk); !errors.Is(err, ErrDamaged) || !strings.Contains(out, c.where) {
				t.Fatalf("dump: %v\n%s", err, out)
			}
		})
	}
}

func TestMissingPayloadsAreNamedUpToALimit(t *testing.T) {
	j := mustOpen(t, "", nil)
	defer mustClose(t, j)
	_, err := j.Sweep(slices.Values([]uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2}))
	if err == nil || !strings.Contains(err.Error(), "payload 2, 3, 4, 5, 6, 7, 8, 9 and 3 more") {
		t.Fatalf("sweep: %v", err)
	}
}

func TestPayloadOfNegativeSizeIsRefused(t *testing.T) {
	j := mustOpen(t, "", nil)
	defer mustClose(t, j)
	if _, err := j.CreatePayload(j.NextPayload(), -1); err == nil {
		t.Fatal("a payload of -1 bytes is begun")
	}
}

// hookedDisk does something before a file is opened to be read.
type hookedDisk struct {
	vfs.FS
	before func(name string)
}

func (d hookedDisk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	d.before(name)
	return d.FS.Open(name, opts...)
}

func TestPayloadThatIsDroppedWhileItIsOpened(t *testing.T) {
	var f *payloadFiles
	f, err := openPayloadFiles(hookedDisk{vfs.NewMem(), func(string) {
		f.drop([]uint64{1}, true)
		f.removals.Wait()
	}}, "/payloads", quiet)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.create(1, 0)
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.open(1); err != errNoRow {
		t.Fatalf("open: %v", err)
	}
}

// vanishingDisk loses the name of each file as soon as it is made.
type vanishingDisk struct{ vfs.FS }

func (d vanishingDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	return f, errors.Join(err, os.Remove(name))
}

func TestFileThatOthersCouldReadIsNotUsed(t *testing.T) {
	g := &guard{FS: vanishingDisk{vfs.Default}, failure: newFailure()}
	dir := t.TempDir()
	if _, err := g.Create(filepath.Join(dir, "file"), vfs.WriteCategoryUnspecified); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a file whose mode can't be set: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Fatalf("there are %v (%v)", names, err)
	}
}

func TestDirectoryWithoutANameIsRefused(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(gone)
	if err := os.Remove(gone); err != nil {
		t.Skip("the working directory can't be removed here:", err)
	}
	if _, err := os.Getwd(); err == nil {
		t.Skip("a removed working directory has a name here")
	}
	if j, err := Open("journal", options(nil)); err == nil {
		mustClose(t, j)
		t.Error("a journal is opened in a directory that is gone")
	}
	if err := Dump("journal", options(nil), os.Stderr, nil); err == nil {
		t.Error("a journal is dumped from a directory that is gone")
	}
}

// TestCommitsWaitForAFlush fills the backlog, and lets one table be flushed.
func TestCommitsWaitForAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backlog{failed: make(chan struct{})}
		for range maxMemTables {
			b.wait()
			b.grow()
		}
		var waited atomic.Int64
		for range 2 {
			go func() { b.wait(); waited.Add(1) }()
			synctest.Wait()
		}
		if waited.Load() > 0 {
			t.Fatal("a commit doesn't wait")
		}
		b.shrink(1)
		synctest.Wait()
		if n := waited.Load(); n != 2 {
			t.Fatalf("%d commits go on after a flush, want both", n)
		}
		b.shrink(2 * maxMemTables)
		if b.tables != 0 {
			t.Fatalf("%d tables wait", b.tables)
		}
	})
}
