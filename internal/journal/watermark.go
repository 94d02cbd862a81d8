package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watermark says how far a log or a manifest was synced: what lies below was
// acknowledged, and must be readable. Pebble's own chunks say less than that. It is
// kept in a file beside them and written after each sync. A log's isn't synced
// itself: a stale one is still true, and when the process alone ends, it is exact.
// A manifest's is, as it is seldom written, and because a crash may let a manifest
// have the number of one that is gone, and with it a mark that isn't its own.
//
//	number (8) | offset (8) | CRC-32C (4)      little-endian
type watermark struct {
	log    uint64
	offset int64
}

const (
	watermarkFile    = "SYNCED" // of the newest log
	manifestMarkFile = "SYNCED.manifest"
	watermarkSize    = 8 + 8 + checksumSize
)

// markFor returns which file has the watermark of a log or a manifest, and the
// number that it then has; ok is false for other files.
func markFor(files vfs.FS, name string) (mark string, number uint64, ok bool) {
	mark = watermarkFile
	number, ok = logNumber(files, name)
	if digits, isManifest := strings.CutPrefix(files.PathBase(name), "MANIFEST-"); isManifest {
		var err error
		mark = manifestMarkFile
		number, err = strconv.ParseUint(digits, 10, 64)
		ok = err == nil
	}
	return files.PathJoin(files.PathDir(name), mark), number, ok
}

// readWatermark reads a mark; found is false when there is none, or a torn one.
func readWatermark(files vfs.FS, name string) (mark watermark, found bool, err error) {
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return watermark{}, false, nil
	}
	if err != nil {
		return watermark{}, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, watermarkSize+1))
	if err != nil || len(b) != watermarkSize {
		return watermark{}, false, err
	}
	end := watermarkSize - checksumSize
	if binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return watermark{}, false, nil
	}
	mark.log = binary.LittleEndian.Uint64(b)
	mark.offset = int64(binary.LittleEndian.Uint64(b[8:]))
	return mark, true, nil
}

func (m watermark) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.log)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.offset))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// logNumber reads the number of a write-ahead log from its name.
func logNumber(files vfs.FS, name string) (number uint64, isLog bool) {
	digits, isLog := strings.CutSuffix(files.PathBase(name), ".log")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, isLog && err == nil
}

// markedFile is a log or a manifest being written from its beginning. Pebble writes
// and syncs it from one goroutine at a time. One that can't be written fails the
// journal here, where the cause is known: Pebble would leave its words alone.
type markedFile struct {
	guardedFile
	mark    watermark // its offset: what is written so far
	file    vfs.File  // of the mark
	durable bool      // the mark is synced too
	encoded []byte    // what was written there last
}

func (f *markedFile) Write(p []byte) (int, error) {
	n, err := f.guardedFile.Write(p)
	f.mark.offset += int64(n)
	return n, f.note(err)
}

func (f *markedFile) Sync() error {
	if err := f.guardedFile.Sync(); err != nil {
		return f.note(err)
	}
	return f.note(f.writeMark())
}

func (f *markedFile) SyncData() error {
	if err := f.guardedFile.SyncData(); err != nil {
		return f.note(err)
	}
	return f.note(f.writeMark())
}

func (f *markedFile) writeMark() error {
	f.encoded = f.mark.append(f.encoded[:0])
	if _, err := f.file.WriteAt(f.encoded, 0); err != nil || !f.durable {
		return err
	}
	return f.file.SyncData()
}

func (f *markedFile) Close() error {
	return f.note(errors.Join(f.guardedFile.Close(), f.file.Close()))
}

// note fails the journal if there was an error.
func (f *markedFile) note(err error) error {
	if err != nil {
		f.failure.latch(err)
	}
	return err
}

// markedLog never tells Pebble that it can't be written: the next log isn't begun then, and
// that ends the process; see guard.own. Whoever commits looks for the failure after
// each sync.
type markedLog struct{ *markedFile }

func (l markedLog) Write(p []byte) (int, error) {
	_, _ = l.markedFile.Write(p)
	return len(p), nil
}

func (l markedLog) Sync() error {
	_ = l.markedFile.Sync()
	return nil
}

func (l markedLog) SyncData() error {
	_ = l.markedFile.SyncData()
	return nil
}

func (l markedLog) Close() error {
	_ = l.markedFile.Close()
	return nil
}
