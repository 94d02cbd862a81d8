package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// durability is what is kept when a journal is closed and opened again.
var durability = []conformanceCase{
	{"keeps records and payloads", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		numbers := make(map[uint64]int)
		for _, size := range payloadSizes {
			numbers[putPayload(t, j, pattern(size))] = size
		}
		set(t, j, false, "a", "1")
		mustClose(t, j)
		j = mustOpen(t, dir, fs)
		defer mustClose(t, j)
		wantRecords(t, j, "a=1")
		for number, size := range numbers {
			wantPayload(t, j, number, pattern(size))
		}
	}},
	{"gives no payload number twice", func(t *testing.T, dir string, fs vfs.FS) {
		seen := make(map[uint64]bool)
		for range 4 {
			j := mustOpen(t, dir, fs)
			for range 10 {
				number := j.NextPayload()
				if seen[number] {
					t.Fatalf("number %d was given before", number)
				}
				seen[number] = true
			}
			mustClose(t, j)
		}
	}},
	{"sweeps what no record names", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		kept := []uint64{putPayload(t, j, pattern(10)), putPayload(t, j, pattern(FileSize))}
		orphans := []uint64{putPayload(t, j, pattern(10)), putPayload(t, j, pattern(FileSize))}
		mustClose(t, j)
		j = mustOpen(t, dir, fs)
		defer mustClose(t, j)
		swept, err := j.Sweep(slices.Values(kept))
		if err != nil || swept != 2 {
			t.Fatalf("swept %d (%v), want 2", swept, err)
		}
		wantPayload(t, j, kept[0], pattern(10))
		wantPayload(t, j, kept[1], pattern(FileSize))
		for _, number := range orphans {
			wantNoPayload(t, j, number)
		}
		j.files.removals.Wait()
		if left, err := j.files.list(); err != nil || len(left) != 1 {
			t.Fatalf("files %v are left (%v), want one", left, err)
		}
	}},
	{"names the payloads that are missing, and sweeps nothing", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		small, large := putPayload(t, j, pattern(10)), putPayload(t, j, pattern(FileSize))
		gone := putPayload(t, j, pattern(FileSize))
		orphan := putPayload(t, j, pattern(10))
		mustClose(t, j)
		if err := j.fs.Remove(j.files.path(gone)); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, dir, fs)
		defer mustClose(t, j)
		var damage *DamageError
		_, err := j.Sweep(slices.Values([]uint64{small, 1 << 40, large, gone}))
		if want := fmt.Sprintf("payload %d, %d", gone, 1<<40); !errors.As(err, &damage) || damage.Where != want {
			t.Fatalf("sweep: %v, want damage of %s", err, want)
		}
		wantPayload(t, j, orphan, pattern(10))
	}},
	{"refuses another owner", func(t *testing.T, dir string, fs vfs.FS) {
		mustClose(t, mustOpen(t, dir, fs))
		o := options(fs)
		o.Owner = "bob"
		if _, err := Open(dir, o); !errors.Is(err, ErrOwner) || !strings.Contains(err.Error(), "alice") {
			t.Fatalf("open for bob: %v", err)
		}
		mustClose(t, mustOpen(t, dir, fs))
	}},
	{"refuses a second open", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		if _, err := Open(dir, options(fs)); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), j.Dir()) {
			t.Fatalf("second open: %v", err)
		}
		mustClose(t, j)
		mustClose(t, mustOpen(t, dir, fs))
	}},
	{"refuses a newer version of a row", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		c := j.store.begin().(*pebbleChanges)
		key := []byte{recordRow, 'a'}
		sealed := make([]byte, 1+sealSize)
		seal(sealed, key, []byte("1"))
		resealVersion(sealed, key, 9)
		if err := c.batch.Set(key, sealed, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(true); err != nil {
			t.Fatal(err)
		}
		if _, err := records(j); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 9") {
			t.Fatalf("replay: %v", err)
		}
		mustClose(t, j)
	}},
}
