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

// watermark says how far a log was synced: what lies below was acknowledged, and
// must be readable. Pebble's own chunks say less than that. It is kept in a file
// beside the logs and written after each sync, but not synced itself: a stale
// one is still true, and when the process alone ends, it is exact.
//
//	log number (8) | offset (8) | CRC-32C (4)      little-endian
type watermark struct {
	log    uint64
	offset int64
}

const (
	watermarkFile = "SYNCED"
	watermarkSize = 8 + 8 + checksumSize
)

// readWatermark reads the mark in a directory of logs; found is false when there
// is none, or a torn one.
func readWatermark(files vfs.FS, dir string) (mark watermark, found bool, err error) {
	f, err := files.Open(files.PathJoin(dir, watermarkFile))
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

// markedLog is a log being written from its beginning. Pebble writes and syncs
// it from one goroutine at a time.
//
// It never tells Pebble that it can't be written: the next log isn't begun then, and
// that ends the process; see guard.own. The journal has failed instead, and whoever
// commits looks for that after each sync.
type markedLog struct {
	guardedFile
	mark    watermark // its offset: what is written so far
	file    vfs.File  // of the mark
	encoded []byte    // what was written there last
}

func (l *markedLog) Write(p []byte) (int, error) {
	n, err := l.guardedFile.Write(p)
	l.mark.offset += int64(n)
	l.note(err)
	return len(p), nil
}

func (l *markedLog) Sync() error {
	l.note(l.sync(l.guardedFile.Sync))
	return nil
}

func (l *markedLog) SyncData() error {
	l.note(l.sync(l.guardedFile.SyncData))
	return nil
}

func (l *markedLog) sync(file func() error) error {
	if err := file(); err != nil {
		return err
	}
	return l.writeMark()
}

// note fails the journal if there was an error.
func (l *markedLog) note(err error) {
	if err != nil {
		l.failure.latch(err)
	}
}

func (l *markedLog) writeMark() error {
	l.encoded = l.mark.append(l.encoded[:0])
	_, err := l.file.WriteAt(l.encoded, 0)
	return err
}

func (l *markedLog) Close() error {
	l.note(errors.Join(l.guardedFile.Close(), l.file.Close()))
	return nil
}
