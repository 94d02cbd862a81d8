package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// dumped lists a journal, its records as key=value.
func dumped(fs vfs.FS) (string, error) {
	var out bytes.Buffer
	err := Dump(memDir, options(fs), &out, func(key, value []byte) string {
		return fmt.Sprintf("%s=%s", key, value)
	})
	return out.String(), err
}

func TestDump(t *testing.T) {
	noLeaks(t)
	disk, w := written(t, 12)
	out, err := dumped(disk)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for key, value := range w.states[len(w.states)-1] {
		if !strings.Contains(out, "  "+key+"="+value+"\n") {
			t.Errorf("%s=%s isn't in\n%s", key, value, out)
		}
	}
	for _, line := range []string{"owner alice\n", "  5 in all\n", ": 1048585 bytes, in /journal/payloads/"} {
		if !strings.Contains(out, line) {
			t.Errorf("%q isn't in\n%s", line, out)
		}
	}
}

func TestDumpNamesDamageAndGoesOn(t *testing.T) {
	disk, _ := written(t, 9)
	t.Run("of the log", func(t *testing.T) {
		flipped := copyOf(disk)
		log := newestLog(t, flipped)
		b := contents(t, flipped, log)
		b[len(b)*2/3] ^= 1
		out, err := dumped(flipped)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(out, "DAMAGED") || !strings.Contains(out, log+", offset ") {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(out, "key 0=") {
			t.Fatalf("what stands before the damage isn't in\n%s", out)
		}
	})
	t.Run("of a table", func(t *testing.T) {
		flipped := copyOf(disk)
		if _, err := recovered(memDir, flipped); err != nil { // moves the log into a table
			t.Fatal(err)
		}
		for _, name := range filesOf(t, flipped) {
			if strings.HasSuffix(name, ".sst") {
				contents(t, flipped, name)[30] ^= 1
			}
		}
		if out, err := dumped(flipped); !errors.Is(err, ErrDamaged) || !strings.Contains(out, "DAMAGED") {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	t.Run("of a payload's file", func(t *testing.T) {
		disk, w := written(t, 12)
		for _, name := range filesOf(t, disk) {
			if strings.HasSuffix(name, fileSuffix) {
				contents(t, disk, name)[pieceSize*3] ^= 1
			}
		}
		out, err := dumped(disk)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(out, "offset 131112") {
			t.Fatalf("%v\n%s", err, out)
		}
		if last := w.states[len(w.states)-1]["last"]; !strings.Contains(out, "last="+last) {
			t.Fatalf("last=%s isn't in\n%s", last, out)
		}
	})
}

// TestDumpNamesAMissingOwner lists the rest of a journal that can't be opened.
func TestDumpNamesAMissingOwner(t *testing.T) {
	disk := vfs.NewMem()
	j := mustOpen(t, memDir, disk)
	set(t, j, true, "a", "1")
	if err := j.store.(*pebbleStore).db.Delete([]byte{headerRow}, nil); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	if _, err := recovered(memDir, disk); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "the header row is missing") {
		t.Fatalf("open: %v", err)
	}
	if out, err := dumped(disk); !errors.Is(err, ErrDamaged) || !strings.Contains(out, "the header row") || !strings.Contains(out, "a=1") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestDumpRefusesAJournalInUse(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewMem()
	if out, err := dumped(disk); err == nil {
		t.Fatalf("dumped where there is no journal:\n%s", out)
	}
	j := mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	if _, err := dumped(disk); !errors.Is(err, ErrLocked) {
		t.Fatalf("dump of a journal in use: %v", err)
	}
}
