package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzUnseal gives any bytes for a row's value: what is taken is what seal would
// have written.
func FuzzUnseal(f *testing.F) {
	for _, value := range []string{"", "value", "a longer value than that"} {
		key := []byte("rkey")
		sealed := make([]byte, len(value)+sealSize)
		seal(sealed, key, []byte(value))
		f.Add(key, sealed)
		f.Add([]byte{headerRow}, sealed)
		f.Add(key, sealed[1:])
		resealVersion(sealed, key, 9)
		f.Add(key, slices.Clone(sealed))
	}
	f.Fuzz(func(t *testing.T, key, sealed []byte) {
		value, err := unseal(key, sealed)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, len(value)+sealSize)
		seal(again, key, value)
		if !bytes.Equal(again, sealed) {
			t.Fatalf("%x is taken for the value %x, which is written as %x", sealed, value, again)
		}
	})
}

// FuzzPayloadFile reads any bytes as a payload's file. Its checksums are put
// right if asked, so that what lies behind them is reached. What is read whole
// is what would have been written.
func FuzzPayloadFile(f *testing.F) {
	for _, size := range []int{0, 1, 100, pieceSize, pieceSize + 1} {
		b := payloadFile(7, pattern(size))
		f.Add(b, false)
		f.Add(b[:len(b)-1], false)
		b[20]++
		f.Add(b, true)
	}
	f.Add(fileHeader(7, -1), false)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if end := fileHeaderSize - checksumSize; mend && len(b) >= fileHeaderSize {
			b = slices.Clone(b)
			binary.LittleEndian.PutUint32(b[end:], crc32.Checksum(b[:end], castagnoli))
		}
		r := &fileReader{file: vfs.NewMemFile(b), where: "file", number: 7}
		err := r.readHeader()
		if err == nil && r.size < 0 {
			t.Fatalf("a payload of %d bytes is read", r.size)
		}
		var p []byte
		if err == nil {
			p, err = io.ReadAll(r)
		}
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		if want := payloadFile(7, p); !bytes.HasPrefix(b, want) {
			t.Fatalf("%d bytes are read as a payload of %d, which are written otherwise", len(b), len(p))
		}
	})
}

// payloadFile is the file of a payload as doc.go has it.
func payloadFile(number uint64, payload []byte) []byte {
	b := fileHeader(number, int64(len(payload)))
	index := uint32(0)
	for piece := range slices.Chunk(payload, pieceSize) {
		b = append(b, piece...)
		b = binary.LittleEndian.AppendUint32(b, pieceChecksum(number, index, piece))
		index++
	}
	return b
}

// FuzzLogCheck reads any bytes as a log or a manifest: what is good of it lies
// within it, is good by itself, and reaches to where the log was synced.
func FuzzLogCheck(f *testing.F) {
	disk, _ := written(f, 5)
	for _, name := range filesOf(f, disk) {
		if l, err := openLog(disk, name); err == nil && l != nil {
			f.Add(slices.Clone(l.bytes), l.number, uint32(l.synced), l.manifest, true)
			f.Add(slices.Clone(l.bytes[:len(l.bytes)/2]), l.number, uint32(0), l.manifest, false)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, number, synced uint32, manifest, newest bool) {
		l := &logFile{name: "log", bytes: b, manifest: manifest, number: number}
		l.synced, l.marked = int(synced), !manifest && synced > 0
		good, torn, err := l.check(newest)
		if good < 0 || good > len(b) {
			t.Fatalf("%d of %d bytes are good", good, len(b))
		}
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if torn && good < l.synced {
			rest := logFile{name: "log", bytes: b, manifest: manifest, number: number}
			if end := rest.lastChunkEnd(); end < l.synced {
				t.Fatalf("a torn tail is cut at %d, below %d, to where the log was synced", end, l.synced)
			}
		}
		whole := &logFile{name: "log", bytes: b[:good], manifest: manifest, number: number}
		if again, torn, err := whole.check(true); again != good || torn || err != nil {
			t.Fatalf("the good %d bytes have %d good ones: torn %v, %v", good, again, torn, err)
		}
	})
}

// lastChunkEnd is the offset of the first chunk that isn't whole.
func (l *logFile) lastChunkEnd() int {
	at := 0
	for {
		c := l.chunkAt(at)
		if c.state != whole && c.state != padding {
			return at
		}
		at = c.end
	}
}

// FuzzWatermark reads any bytes as a watermark: one is found only where that
// mark was written.
func FuzzWatermark(f *testing.F) {
	mark := watermark{log: 3, offset: 4711}.append(nil)
	f.Add(mark)
	f.Add(mark[1:])
	f.Add(append(mark, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := vfs.NewMem()
		replaced(t, disk, watermarkFile, b)
		mark, found, err := readWatermark(disk, watermarkFile)
		if err != nil {
			t.Fatal(err)
		}
		if found != (len(b) == watermarkSize && bytes.Equal(mark.append(nil), b)) {
			t.Fatalf("%x is read as %+v, found %v", b, mark, found)
		}
	})
}

// FuzzStore plays a sequence of changes on Pebble and in memory, which hold the
// same then. Every byte is a change, and some commit.
func FuzzStore(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0xf0, 0x41, 0x82, 0xf1})
	f.Add([]byte{0x81, 0x82, 0xf2, 0x81, 0xf0, 0xc1, 0xf1, 0x05, 0x45, 0xf0})
	// Opened once, since that takes longer than all the rest, and emptied each time.
	journals := []*Journal{mustOpen(f, "", nil), mustOpen(f, memDir, vfs.NewMem())}
	f.Cleanup(func() {
		for _, j := range journals {
			mustClose(f, j)
		}
	})
	var empty []byte
	for key := range byte(8) {
		empty = append(empty, 0x40|key, 0xc0|key)
	}
	empty = append(empty, 0xf0)
	f.Fuzz(func(t *testing.T, changes []byte) {
		if len(changes) > 64 {
			t.Skip("longer than needed")
		}
		for _, j := range journals {
			play(t, j, empty)
			play(t, j, changes)
		}
		memory, pebble := whatIsIn(t, journals[0]), whatIsIn(t, journals[1])
		if memory != pebble {
			t.Fatalf("in memory are %s, on Pebble %s", memory, pebble)
		}
	})
}

// play makes the changes: the upper two bits say what, the lower ones to which key.
func play(t *testing.T, j *Journal, changes []byte) {
	b := j.Batch()
	for i, change := range changes {
		key := change & 7
		switch {
		case change >= 0xf0:
			if err := b.Commit(change%2 == 0); err != nil {
				t.Fatal(err)
			}
			b = j.Batch()
		case change < 0x40:
			b.Set([]byte{key}, changes[:i])
		case change < 0x80:
			b.Delete([]byte{key})
		case change < 0xc0:
			b.SetPayload(uint64(key), bytes.Clone(changes[:i]))
		default:
			b.DropPayload(uint64(key))
		}
	}
	b.Discard()
}

// whatIsIn lists the records and the payloads.
func whatIsIn(t *testing.T, j *Journal) string {
	lines, err := records(j)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := j.Payloads()
	if err != nil {
		t.Fatal(err)
	}
	for number := range uint64(8) {
		j.cache.remove(number)
		p, err := j.Payload(number)
		if _, ok := stored[number]; ok != (err == nil) {
			t.Fatalf("payload %d is stored: %v, read: %v", number, ok, err)
		}
		lines = append(lines, fmt.Sprintf("%d=%x (%v)", number, p, err == nil))
	}
	return fmt.Sprintf("%q", lines)
}
