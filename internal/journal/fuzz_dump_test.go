package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzDump dumps a journal of which one file was changed: bytes of it are others, or
// it ends there. Without an error all is listed, and with one nothing that wasn't
// there, and the damage.
func FuzzDump(f *testing.F) {
	disk := storesToDamage(f)[1].disk
	files := everyFileOf(f, disk)
	whole, err := dumped(disk)
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		size := len(contents(f, disk, file))
		f.Add(byte(i), uint32(size/2), []byte{1})
		f.Add(byte(i), uint32(size/3), []byte(nil))
		f.Add(byte(i), uint32(size-1), []byte{0x80})
	}
	f.Fuzz(func(t *testing.T, file byte, at uint32, changes []byte) {
		damaged, name := copyOf(disk), files[int(file)%len(files)]
		b := slices.Clone(contents(t, damaged, name))
		at %= uint32(len(b) + 1)
		for i, change := range changes {
			if int(at)+i < len(b) {
				b[int(at)+i] ^= change
			}
		}
		if len(changes) == 0 {
			b = b[:at]
		}
		replaced(t, damaged, name, b)
		got, err := dumped(damaged)
		if err == nil && got != whole {
			t.Fatalf("%s: dumped without an error\n%s\nwant\n%s", name, got, whole)
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Fatalf("%s: %v", name, err)
		}
		for line := range strings.Lines(got) {
			if strings.Contains(line, "key ") && !strings.Contains(line, "DAMAGED") && !strings.Contains(whole, line) {
				t.Fatalf("%s: %q is listed, which wasn't there", name, line)
			}
		}
	})
}

// FuzzDumpRow dumps any one row, beside that of the owner, and any bytes as a
// payload's file. Each is listed as what it is, or named as damage. The row's checksum
// is put right if asked.
func FuzzDumpRow(f *testing.F) {
	number := binary.BigEndian.AppendUint64(nil, 7)
	for _, kind := range []byte{headerRow, numberRow, payloadRow, recordRow} {
		f.Add(kind, []byte(nil), []byte("value"), true, []byte(nil))
		f.Add(kind, number, number, true, payloadFile(9, pattern(100)))
		f.Add(kind, number, []byte{formatVersion}, false, payloadFile(9, pattern(100))[1:])
		f.Add(kind, number, []byte{formatVersion + 1, 0, 0, 0, 0}, false, []byte{})
	}
	f.Fuzz(func(t *testing.T, kind byte, key, value []byte, seals bool, file []byte) {
		row := append([]byte{kind}, key...)
		sealed := value
		if seals {
			sealed = make([]byte, len(value)+sealSize)
			seal(sealed, row, value)
		}
		store := newMemoryStore()
		owner := make([]byte, sealSize)
		seal(owner, []byte{headerRow}, nil)
		store.rows[string(headerRow)] = owner
		store.rows[string(row)] = sealed
		files, err := openPayloadFiles(vfs.NewMem(), "/payloads", quiet)
		if err != nil {
			t.Fatal(err)
		}
		replaced(t, files.fs, files.path(9), file)
		var out bytes.Buffer
		text := dump{out: bufio.NewWriter(&out), decode: func(key, value []byte) string {
			return fmt.Sprintf("record %x=%x", key, value)
		}}
		d := &walk{each: text.add, store: store, files: files}
		d.header()
		d.records()
		d.payloads()
		if err := text.out.Flush(); err != nil {
			t.Fatal(err)
		}
		named, want := len(d.damage), 0
		if !(&fuzzedRow{kind, row, sealed}).isListed(t, out.String()) {
			want++
		}
		if !strings.Contains(out.String(), "bytes, in "+files.path(9)+"\n") {
			want++
		}
		if named != want {
			t.Fatalf("%d places are named as damage, want %d: %x=%x and a file of %d bytes\n%s",
				named, want, row, sealed, len(file), out.String())
		}
	})
}

type fuzzedRow struct {
	kind        byte
	row, sealed []byte
}

// isListed reports whether a row is one of those that are written, and expects its
// line then. A row of no kind that there is isn't looked for.
func (r *fuzzedRow) isListed(t *testing.T, out string) bool {
	value, err := unseal(r.row, r.sealed)
	key := r.row[1:]
	var line string
	switch r.kind {
	case headerRow:
		line = fmt.Sprintf("owner %s\n", value)
	case numberRow:
		if len(value) != 8 {
			return false
		}
		line = fmt.Sprintf("below %d may", binary.BigEndian.Uint64(value))
	case payloadRow:
		if len(key) != 8 {
			return false
		}
		line = fmt.Sprintf("  %d: %d bytes\n", binary.BigEndian.Uint64(key), len(value))
	case recordRow:
		line = fmt.Sprintf("  record %x=%x\n", key, value)
	default:
		return true
	}
	if err == nil && !strings.Contains(out, line) {
		t.Fatalf("%q isn't in\n%s", line, out)
	}
	return err == nil
}
