package journal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func newestLog(t testing.TB, disk *vfs.MemFS) string {
	t.Helper()
	var newest string
	for _, name := range filesOf(t, disk) {
		if strings.HasSuffix(name, ".log") {
			newest = name
		}
	}
	return newest
}

func TestTornTailIsCutAtAnyByte(t *testing.T) {
	noLeaks(t)
	disk, w := written(t, 9)
	log := newestLog(t, disk)
	whole := append([]byte(nil), contents(t, disk, log)...)
	last := -1
	step := 7
	if testing.Short() {
		step = 61
	}
	for size := 0; size <= len(whole); size += step {
		torn := copyOf(disk)
		replaced(t, torn, log, whole[:size])
		var first state
		for range 2 {
			got, err := recovered(memDir, torn)
			if err != nil {
				t.Fatalf("log cut to %d of %d bytes: %v", size, len(whole), err)
			}
			wantOneOf(t, fmt.Sprintf("log cut to %d of %d bytes", size, len(whole)), got, w.states)
			if first != nil && !maps.Equal(first, got) {
				t.Fatalf("log cut to %d bytes: the second start has %v, the first had %v", size, got, first)
			}
			first = got
		}
		index := -1
		for i, s := range w.states {
			if maps.Equal(s, first) {
				index = i
			}
		}
		if index < last {
			t.Fatalf("log cut to %d bytes keeps %d batches, with fewer bytes it kept %d", size, index, last)
		}
		last = index
	}
	if last != len(w.states)-1 {
		t.Fatalf("the whole log keeps %d batches, want %d", last, len(w.states)-1)
	}
}

// TestFlippedBitIsFound flips a bit at every place of every file. Either all is
// there as it was written, or there is an error.
func TestFlippedBitIsFound(t *testing.T) {
	crashed, w := written(t, 9)
	want := w.states[len(w.states)-1]

	closed := copyOf(crashed) // its log is in tables, and its own log empty
	if _, err := recovered(memDir, closed); err != nil {
		t.Fatal(err)
	}

	for name, disk := range map[string]*vfs.MemFS{"crashed": crashed, "closed": closed} {
		t.Run(name, func(t *testing.T) {
			for _, file := range filesOf(t, disk) {
				size := len(contents(t, disk, file))
				step := max(1, size/150)
				found := 0
				for at := 0; at < size; at += step {
					flipped := copyOf(disk)
					contents(t, flipped, file)[at] ^= 1 << (at % 8)
					got, err := recovered(memDir, flipped)
					switch {
					case err == nil && !maps.Equal(got, want):
						t.Fatalf("bit flipped in %s at %d of %d: silently recovered %v, want %v", file, at, size, got, want)
					case errors.Is(err, ErrDamaged):
						found++
					case err != nil:
						t.Logf("bit flipped in %s at %d of %d: %v", file, at, size, err)
					}
				}
				t.Logf("%s: %d bytes, %d flips of %d refused as damage", file, size, found, (size+step-1)/step)
			}
		})
	}
}
