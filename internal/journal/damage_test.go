package journal

import (
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
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

var everyByte = flag.Bool("everybyte", false, "damage is done at every byte of files up to 64 KiB, and the disk refuses every operation, rather than a sample")

const markOf = memDir + "/" + recordsDir + "/" + watermarkFile

// withoutMark empties what says how far the log was synced, as a power cut may.
func withoutMark(t testing.TB, disk *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	replaced(t, disk, markOf, nil)
	return disk
}

// TestLogIsCutAboveItsMarkAlone ends a log in the middle of a batch: one that
// was synced, and one that wasn't.
func TestLogIsCutAboveItsMarkAlone(t *testing.T) {
	disk := vfs.NewCrashableMem()
	j := mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	set(t, j, true, "last", "first")
	synced := copyOf(disk)
	log := newestLog(t, synced)
	size := len(contents(t, synced, log))
	replaced(t, synced, log, contents(t, synced, log)[:size-1])
	var damage *DamageError
	if _, err := recovered(memDir, synced); !errors.As(err, &damage) || !strings.HasPrefix(damage.Where, log+", offset ") {
		t.Fatalf("a synced batch is cut: %v", err)
	}
	wantInOrder(t, damage.Error(), log, "stays as it is", "`parley journal dump`", "restore", "start anew")

	set(t, j, false, "last", "second")
	mark := contents(t, copyOf(disk), markOf)
	set(t, j, true, "last", "third") // writes the unsynced batch; its mark is taken back
	unsynced := copyOf(disk)
	replaced(t, unsynced, markOf, mark)
	replaced(t, unsynced, log, contents(t, unsynced, log)[:size+10])
	if got, err := recovered(memDir, unsynced); err != nil || !maps.Equal(got, state{"last": "first"}) {
		t.Fatalf("recovered %v (%v), want the first batch alone", got, err)
	}
}

// TestTailOfALogThatWasBeingClosedIsTorn closes a log, and loses a sector of what is
// synced together with its end mark.
func TestTailOfALogThatWasBeingClosedIsTorn(t *testing.T) {
	disk := vfs.NewCrashableMem()
	j := mustOpen(t, memDir, disk)
	set(t, j, true, "last", "first")
	synced := copyOf(disk) // the journal still works on the disk itself
	log := newestLog(t, synced)
	mark, size := contents(t, synced, markOf), len(contents(t, synced, log))
	b := j.Batch()
	b.SetPayload(j.NextPayload(), pattern(3*blockSize))
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	replaced(t, disk, markOf, mark)
	clear(contents(t, disk, log)[size:][:512])
	if got, err := recovered(memDir, disk); err != nil || !maps.Equal(got, state{"last": "first"}) {
		t.Fatalf("recovered %v (%v), want what was synced", got, err)
	}
}

// wantInOrder expects that a text says things one after the other.
func wantInOrder(t testing.TB, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q, want %q in this order", text, parts)
		}
		rest = after
	}
}

// TestBadSectorBelowTheMarkIsRefused loses one sector, of 512 bytes, of a log
// whose every batch was acknowledged.
func TestBadSectorBelowTheMarkIsRefused(t *testing.T) {
	disk := vfs.NewCrashableMem()
	j := mustOpen(t, memDir, disk)
	for range 16 {
		b := j.Batch()
		b.SetPayload(j.NextPayload(), pattern(60_000))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	crashed := copyOf(disk)
	mustClose(t, j)
	log := newestLog(t, crashed)
	sectors := len(contents(t, crashed, log)) / 512
	for sector := 0; sector < sectors; sector += 37 {
		bad := copyOf(crashed)
		clear(contents(t, bad, log)[sector*512 : (sector+1)*512])
		if _, err := recovered(memDir, bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("sector %d of %d is lost: %v, want ErrDamaged", sector, sectors, err)
		}
	}
}

// TestFlippedBitIsFoundInLongLogs flips a bit at places of files, where a log has
// several blocks, and where Pebble has begun a second before the first is in a table.
// Either all is there as it was written, or there is an error.
func TestFlippedBitIsFoundInLongLogs(t *testing.T) {
	closed := vfs.NewCrashableMem()
	w := newWorkload(t)
	w.j = mustOpen(t, memDir, closed)
	for i := range 90 {
		if i%10 == 9 {
			continue // no large payloads
		}
		if err := w.step(i); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, w.j)
	t.Run("several blocks", func(t *testing.T) { flip(t, closed, w.states[len(w.states)-1], 25) })
	withoutMark(t, closed)
	t.Run("several blocks without a mark", func(t *testing.T) { flip(t, closed, w.states[len(w.states)-1], 25) })

	memory := vfs.NewCrashableMem()
	disk := newFaultyDisk(memory)
	w = newWorkload(t)
	w.j = mustOpen(t, memDir, disk)
	held := make(chan struct{})
	disk.concern(func(op errorfs.Op) bool {
		if strings.HasSuffix(op.Path, ".sst") {
			<-held
		}
		return false
	})
	for range 12 { // in all more than a memory table holds
		b := w.j.Batch()
		number := w.j.NextPayload()
		b.SetPayload(number, pattern(FileSize/2))
		b.Set([]byte("key"), fmt.Appendf(nil, "%d %d", number, FileSize/2))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		w.states = append(w.states, state{"key": fmt.Sprintf("%d %d", number, FileSize/2)})
	}
	crashed := copyOf(memory)
	close(held)
	mustClose(t, w.j)
	logs := 0
	for _, name := range filesOf(t, crashed) {
		if strings.HasSuffix(name, ".log") {
			logs++
		}
	}
	if logs < 2 {
		t.Fatalf("there are %d logs, want at least 2", logs)
	}
	t.Run("several logs", func(t *testing.T) { flip(t, crashed, w.states[len(w.states)-1], 6) })
}

// flip flips single bits, at so many places of every file that matters, each in a
// copy of its own.
func flip(t *testing.T, disk *vfs.MemFS, want state, places int) {
	for _, file := range filesOf(t, disk) {
		if kindOf(t, file).ok == irrelevant {
			continue
		}
		size := len(contents(t, disk, file))
		step := max(1, size/places)
		if *everyByte && size <= 2*blockSize {
			step = 1
		}
		refused, tried := 0, 0
		for at := 0; at < size; at += step {
			tried++
			flipped := copyOf(disk)
			contents(t, flipped, file)[at] ^= 1 << (at % 8)
			got, err := recovered(memDir, flipped)
			switch {
			case err == nil && !maps.Equal(got, want):
				t.Fatalf("bit flipped in %s at %d of %d: silently recovered %v, want %v", file, at, size, got, want)
			case errors.Is(err, ErrDamaged):
				refused++
			case err != nil:
				t.Fatalf("bit flipped in %s at %d of %d: %v, want ErrDamaged", file, at, size, err)
			}
		}
		t.Logf("%s: %d bytes, %d of %d flips refused as damage", file, size, refused, tried)
	}
}

func TestOneFlippedBitIsFoundInAnyChunk(t *testing.T) {
	b := pattern(2000)
	sum := crc32.Checksum(b, castagnoli)
	for _, place := range []int{0, 1, 999, 1998, 1999} {
		for bit := range 8 {
			b[place] ^= 1 << bit
			gotPlace, gotBit, ok := flippedBit(b, sum)
			b[place] ^= 1 << bit
			if !ok || gotPlace != place || gotBit != bit {
				t.Fatalf("bit %d of byte %d: found bit %d of byte %d (%v)", bit, place, gotBit, gotPlace, ok)
			}
		}
	}
	b[7] ^= 3
	b[1500] ^= 1
	if place, bit, ok := flippedBit(b, sum); ok {
		t.Fatalf("three flipped bits pass for bit %d of byte %d", bit, place)
	}
}
