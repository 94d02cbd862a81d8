package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// backend is where a journal of the conformance suite is kept.
type backend struct {
	name    string
	dir     func(t *testing.T) string
	fs      func() vfs.FS
	durable bool
}

var backends = []backend{
	{"memory", func(*testing.T) string { return "" }, func() vfs.FS { return nil }, false},
	{"pebble on a file system in memory", func(*testing.T) string { return "/journal" }, func() vfs.FS { return vfs.NewMem() }, true},
	{"pebble on disk", func(t *testing.T) string { return t.TempDir() + "/journal" }, func() vfs.FS { return nil }, true},
}

// quiet drops what the journal logs.
var quiet = slog.New(slog.DiscardHandler)

func options(fs vfs.FS) Options { return Options{Owner: "alice", Logger: quiet, FS: fs} }

func mustOpen(t testing.TB, dir string, fs vfs.FS) *Journal {
	t.Helper()
	j, err := Open(dir, options(fs))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return j
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// set commits one record.
func set(t testing.TB, j *Journal, sync bool, key, value string) {
	t.Helper()
	b := j.Batch()
	b.Set([]byte(key), []byte(value))
	if err := b.Commit(sync); err != nil {
		t.Fatalf("commit %s: %v", key, err)
	}
}

// records replays the journal as "key=value" lines.
func records(j *Journal) ([]string, error) {
	var lines []string
	err := j.Replay(func(key, value []byte) error {
		lines = append(lines, string(key)+"="+string(value))
		return nil
	})
	return lines, err
}

func wantRecords(t testing.TB, j *Journal, want ...string) {
	t.Helper()
	got, err := records(j)
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("records are %q, want %q", got, want)
	}
}

// pattern is a payload that is different at every place.
func pattern(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// putPayload writes a payload as a stream does, in uneven pieces.
func putPayload(t testing.TB, j *Journal, payload []byte) uint64 {
	t.Helper()
	number := j.NextPayload()
	w, err := j.CreatePayload(number, int64(len(payload)))
	if err != nil {
		t.Fatalf("create payload: %v", err)
	}
	for piece := range slices.Chunk(payload, 10_000) {
		if _, err := w.Write(piece); err != nil {
			t.Fatalf("write payload: %v", err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatalf("finish payload: %v", err)
	}
	return number
}

func wantPayload(t testing.TB, j *Journal, number uint64, want []byte) {
	t.Helper()
	got, err := j.Payload(number)
	if err != nil {
		t.Fatalf("payload %d: %v", number, err)
	}
	if !bytes.Equal(got, want) || cap(got) != len(want) {
		t.Fatalf("payload %d has %d bytes in %d, want %d and the same", number, len(got), cap(got), len(want))
	}
	r, err := j.OpenPayload(number)
	if err != nil {
		t.Fatalf("open payload %d: %v", number, err)
	}
	defer r.Close()
	streamed, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(streamed, want) || r.Size() != int64(len(want)) {
		t.Fatalf("streamed payload %d has %d of %d bytes (%v), want %d", number, len(streamed), r.Size(), err, len(want))
	}
}

func wantNoPayload(t testing.TB, j *Journal, number uint64) {
	t.Helper()
	if _, err := j.Payload(number); !errors.Is(err, ErrNoPayload) {
		t.Fatalf("payload %d: %v, want ErrNoPayload", number, err)
	}
	if _, err := j.OpenPayload(number); !errors.Is(err, ErrNoPayload) {
		t.Fatalf("open payload %d: %v, want ErrNoPayload", number, err)
	}
}

var payloadSizes = []int{0, 1, 200, pieceSize - 1, pieceSize, pieceSize + 1, FileSize - 1, FileSize, FileSize + 1, 3*FileSize + 77}

func TestConformance(t *testing.T) {
	noLeaks(t)
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) { c.run(t, backend.dir(t), backend.fs()) })
			}
			if !backend.durable {
				return
			}
			for _, c := range durability {
				t.Run(c.name, func(t *testing.T) { c.run(t, backend.dir(t), backend.fs()) })
			}
		})
	}
}

type conformanceCase struct {
	name string
	run  func(t *testing.T, dir string, fs vfs.FS)
}

// conformance is what every backend does.
var conformance = []conformanceCase{
	{"replays records in the order of their keys", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		b := j.Batch()
		for _, key := range []string{"b", "\xff", "a", "", "ab"} {
			b.Set([]byte(key), []byte("1"))
		}
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		b = j.Batch()
		b.Set([]byte("a"), []byte("2"))
		b.Delete([]byte("b"))
		b.Delete([]byte("never there"))
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
		wantRecords(t, j, "=1", "a=2", "ab=1", "\xff=1")
	}},
	{"keeps no slice of the caller's records", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		key, value := []byte("key"), []byte("value")
		b := j.Batch()
		b.Set(key, value)
		copy(key, "xxx")
		copy(value, "xxxxx")
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		wantRecords(t, j, "key=value")
	}},
	{"ends a replay with the caller's error", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		set(t, j, true, "a", "1")
		stop := errors.New("stop")
		if err := j.Replay(func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
			t.Fatalf("replay gives %v", err)
		}
	}},
	{"writes nothing of a discarded batch", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		b := j.Batch()
		b.Set([]byte("a"), []byte("1"))
		b.SetPayload(j.NextPayload(), []byte("payload"))
		b.Discard()
		set(t, j, true, "b", "2")
		wantRecords(t, j, "b=2")
	}},
	{"commits an empty batch", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		for _, sync := range []bool{true, false} {
			if err := j.Batch().Commit(sync); err != nil {
				t.Fatal(err)
			}
		}
	}},
	{"stores payloads of any size", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		for _, size := range payloadSizes {
			number := putPayload(t, j, pattern(size))
			wantPayload(t, j, number, pattern(size))
			j.cache.remove(number)
			wantPayload(t, j, number, pattern(size))
		}
	}},
	{"stores a payload with the record that names it", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		number := j.NextPayload()
		b := j.Batch()
		b.SetPayload(number, pattern(300))
		b.Set([]byte("a"), []byte("1"))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		wantPayload(t, j, number, pattern(300))
		j.cache.remove(number)
		wantPayload(t, j, number, pattern(300))
	}},
	{"drops payloads small and large", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		small, large := putPayload(t, j, pattern(10)), putPayload(t, j, pattern(FileSize))
		b := j.Batch()
		b.DropPayload(small)
		b.DropPayload(large)
		b.DropPayload(j.NextPayload())
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		wantNoPayload(t, j, small)
		wantNoPayload(t, j, large)
		j.files.removals.Wait()
		if left, err := j.files.list(); err != nil || len(left) > 0 {
			t.Fatalf("files %v are left (%v)", left, err)
		}
	}},
	{"keeps a dropped file until the drop is durable", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		number := putPayload(t, j, pattern(FileSize))
		b := j.Batch()
		b.DropPayload(number)
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
		j.files.removals.Wait()
		if left, err := j.files.list(); err != nil || len(left) != 1 {
			t.Fatalf("after an unsynced drop the files are %v (%v), want one", left, err)
		}
		set(t, j, true, "a", "1")
		j.files.removals.Wait()
		if left, err := j.files.list(); err != nil || len(left) != 0 {
			t.Fatalf("after a synced commit the files are %v (%v), want none", left, err)
		}
	}},
	{"reads on in a large payload that is dropped", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		payload := pattern(2 * FileSize)
		number := putPayload(t, j, payload)
		r, err := j.OpenPayload(number)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b := j.Batch()
		b.DropPayload(number)
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		j.files.removals.Wait()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("read %d bytes: %v", len(got), err)
		}
	}},
	{"forgets an aborted payload", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		for _, size := range []int64{10, FileSize} {
			number := j.NextPayload()
			w, err := j.CreatePayload(number, size)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(pattern(5)); err != nil {
				t.Fatal(err)
			}
			w.Abort()
			wantNoPayload(t, j, number)
		}
		if left, err := j.files.list(); err != nil || len(left) != 0 {
			t.Fatalf("files %v are left (%v)", left, err)
		}
	}},
	{"refuses a payload of another size than announced", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		for _, size := range []int{10, FileSize} {
			number := j.NextPayload()
			w, err := j.CreatePayload(number, int64(size))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(pattern(size + 1)); err == nil {
				t.Fatal("more bytes than announced were taken")
			}
			if err := w.Finish(); err == nil {
				t.Fatal("fewer bytes than announced were stored")
			}
			wantNoPayload(t, j, number)
		}
	}},
	{"takes in more small payloads at once than memory is meant for", func(t *testing.T, dir string, fs vfs.FS) {
		o := options(fs)
		o.CacheBytes = 10_000
		j, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, j)
		writers := make(map[uint64]*PayloadWriter)
		for range 8 {
			number := j.NextPayload()
			w, err := j.CreatePayload(number, 4000)
			if err != nil {
				t.Fatal(err)
			}
			writers[number] = w
		}
		if held := j.arriving.Load(); held != 8000 {
			t.Fatalf("%d bytes are set aside, want two payloads of 4000", held)
		}
		for _, w := range writers {
			if _, err := w.Write(pattern(4000)); err != nil {
				t.Fatal(err)
			}
		}
		for number, w := range writers {
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			w.Abort()
			wantPayload(t, j, number, pattern(4000))
		}
		short, err := j.CreatePayload(j.NextPayload(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := short.Finish(); err == nil {
			t.Fatal("fewer bytes than announced were stored")
		}
		if held := j.arriving.Load(); held != 0 {
			t.Fatalf("%d bytes are still set aside", held)
		}
	}},
	{"gives no payload number twice", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		seen := make(map[uint64]bool)
		for range reserved + 10 {
			number := j.NextPayload()
			if number == 0 || seen[number] {
				t.Fatalf("number %d was given before", number)
			}
			seen[number] = true
		}
	}},
	{"sweeps nothing of this run", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		small, large := putPayload(t, j, pattern(10)), putPayload(t, j, pattern(FileSize))
		swept, err := j.Sweep(slices.Values([]uint64(nil)))
		if err != nil || swept != 0 {
			t.Fatalf("swept %d (%v), want 0", swept, err)
		}
		wantPayload(t, j, small, pattern(10))
		wantPayload(t, j, large, pattern(FileSize))
	}},
	{"serves many goroutines", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		defer mustClose(t, j)
		var streams sync.WaitGroup
		for i := range 8 {
			streams.Go(func() {
				size := 1000 * i
				if i == 7 {
					size = FileSize
				}
				for range 5 {
					number := putPayload(t, j, pattern(size))
					set(t, j, i%2 == 0, fmt.Sprint(number), "1")
					wantPayload(t, j, number, pattern(size))
				}
			})
		}
		streams.Wait()
		if got, err := records(j); err != nil || len(got) != 40 {
			t.Fatalf("%d records (%v), want 40", len(got), err)
		}
	}},
	{"refuses everything once closed", func(t *testing.T, dir string, fs vfs.FS) {
		j := mustOpen(t, dir, fs)
		b := j.Batch()
		b.Set([]byte("a"), nil)
		b.Discard()
		mustClose(t, j)
		mustClose(t, j)
		if _, err := j.Payload(1); !errors.Is(err, ErrClosed) {
			t.Fatalf("payload: %v", err)
		}
		if _, err := j.CreatePayload(1, 1); !errors.Is(err, ErrClosed) {
			t.Fatalf("create payload: %v", err)
		}
		if _, err := records(j); !errors.Is(err, ErrClosed) {
			t.Fatalf("replay: %v", err)
		}
	}},
}
