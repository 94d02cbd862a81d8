package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDamagedPayloadFileIsRefused changes a file's header, and seals it anew.
func TestDamagedPayloadFileIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"is empty":             {func(b []byte) []byte { return nil }, ErrDamaged},
		"has a part of header": {func(b []byte) []byte { return b[:fileHeaderSize-1] }, ErrDamaged},
		"has another magic":    {func(b []byte) []byte { b[0]++; return b }, ErrDamaged},
		"is of a newer version": {func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
			return b
		}, ErrVersion},
		"is of another payload": {func(b []byte) []byte { b[12]++; return b }, ErrDamaged},
		"claims a little more": {func(b []byte) []byte {
			b[20]++
			return b
		}, ErrDamaged},
		"claims more than memory": {func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[20:], 1<<60)
			return b
		}, ErrDamaged},
		"claims all there can be": {func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[20:], 1<<63-1)
			return b
		}, ErrDamaged},
		"has bytes behind its end": {func(b []byte) []byte { return append(b, 0) }, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			j := mustOpen(t, memDir, disk)
			defer mustClose(t, j)
			number := putPayload(t, j, pattern(FileSize))
			name := j.files.path(number)
			b := c.change(slices.Clone(contents(t, disk, name)))
			if end := fileHeaderSize - checksumSize; len(b) > fileHeaderSize {
				binary.LittleEndian.PutUint32(b[end:], crc32.Checksum(b[:end], castagnoli))
			}
			replaced(t, disk, name, b)
			_, whole := j.Payload(number)
			_, streamed := j.OpenPayload(number)
			for _, err := range []error{whole, streamed} {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), name) {
					t.Errorf("%v, want %v of %s", err, c.want, name)
				}
			}
		})
	}
}
