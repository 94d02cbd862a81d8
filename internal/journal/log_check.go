package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A log ends where its chunks stop making sense. After a crash that is the torn
// tail of what was being written. Elsewhere it is damage, and what follows it
// is lost if it is mistaken for a tail, which Pebble's own replay does when
//
//   - the damage lies in the log's last 32 KiB, as it looks for later chunks
//     in later blocks alone;
//   - a flipped bit makes a chunk's log number that of an end mark;
//   - the manifest is damaged anywhere.
//
// So a log is read here first, and refused when any of these shows that what
// doesn't make sense had once been written whole:
//
//   - the watermark lies beyond the place: the log was synced so far;
//   - a later chunk says so, for after a power cut the watermark may be stale;
//   - the log was closed, because a newer log exists;
//   - there is no watermark, or the manifest has none of its own, and flipping one
//     bit back makes the chunk whole. That finds the flipped bit in the very last chunk too, where
//     nothing later can speak for it.

// check returns the offset after the last whole record, and a DamageError if
// what follows is not a torn tail. Only the newest log may have one; torn says
// that it has.
func (l *logFile) check(newest bool) (good int, torn bool, err error) {
	at := 0
	for {
		c := l.chunkAt(at)
		switch c.state {
		case whole:
			if c.ends {
				good = c.end
			}
			at = c.end
		case padding:
			at = c.end
		default:
			what := l.judge(at, c.state, newest)
			if what != "" {
				return good, false, &DamageError{Where: fmt.Sprintf("%s, offset %d", l.name, at), What: what}
			}
			return good, c.state == broken, nil
		}
	}
}

// judge says why the end of the log at an offset is damage; empty when it isn't.
func (l *logFile) judge(at int, state chunkState, newest bool) string {
	switch {
	case state == endMark && at+endMarkSize >= l.synced:
		return ""
	case at < l.synced:
		return fmt.Sprintf("what is here can't be read, and was synced: all up to offset %d was", l.synced)
	case state == outside && len(l.bytes) == 0:
		return "" // created, and never written
	case !newest:
		return "a log that was closed ends here"
	case state == outside:
		return ""
	case l.writtenBeyond(at):
		return "what is here can't be read, and was once synced"
	case state == broken && !l.marked && l.oneBitOff(at):
		return "a bit is flipped"
	}
	return ""
}

// writtenBeyond looks behind a place for a chunk that proves that the place was
// synced. It is looked for where the log itself puts chunks: after the one that
// can't be read, and at the beginning of each block. Searching everywhere would
// let a payload pose as a log.
func (l *logFile) writtenBeyond(at int) bool {
	if at+6 <= len(l.bytes) {
		next := at + l.headerSize() + int(binary.LittleEndian.Uint16(l.bytes[at+4:]))
		if next/blockSize == at/blockSize && l.proves(next, at) {
			return true
		}
	}
	for next := at - at%blockSize + blockSize; next < len(l.bytes); next += blockSize {
		if l.proves(next, at) {
			return true
		}
	}
	return false
}

// proves reads on from an offset within its block, and reports whether a chunk
// there was written after the place was synced. Every record of the manifest is
// synced before the next begins; the chunks of one record are synced together. The
// end mark proves nothing: it is synced together with what wasn't before it.
func (l *logFile) proves(next, place int) bool {
	for block := next / blockSize; next/blockSize == block; {
		c := l.chunkAt(next)
		switch {
		case c.state != whole:
			return false
		case l.manifest && c.begins, c.synced > uint64(place):
			return true
		}
		next = c.end
	}
	return false
}

// oneBitOff reports whether flipping one bit makes a whole chunk of this log of
// what stands at an offset. A torn chunk looks like that by chance once in some
// ten thousand times at the most (8 bits a byte, 32 KiB, of 2^32 checksums).
func (l *logFile) oneBitOff(at int) bool {
	blockEnd := min(at-at%blockSize+blockSize, len(l.bytes))
	b := append([]byte(nil), l.bytes[at:blockEnd]...)
	if len(b) < l.headerSize() {
		return false
	}
	wholeWith := func(place, bit int) bool {
		b[place] ^= 1 << bit
		defer func() { b[place] ^= 1 << bit }()
		copied := logFile{bytes: b, manifest: l.manifest, number: l.number}
		// The copy begins at a block, so no chunk of it is cut short.
		return copied.chunkAt(0).state == whole
	}
	for bit := range 16 { // of the length: what the checksum covers changes with it
		if wholeWith(4+bit/8, bit%8) {
			return true
		}
	}
	for bit := range 32 { // of the checksum
		if wholeWith(bit/8, bit%8) {
			return true
		}
	}
	end := l.headerSize() + int(binary.LittleEndian.Uint16(b[4:]))
	if end > len(b) {
		return false
	}
	place, bit, ok := flippedBit(b[6:end], unmask(binary.LittleEndian.Uint32(b)))
	return ok && wholeWith(6+place, bit)
}

// flippedBit finds the bit of b whose flipping gives the checksum. A CRC is
// linear: what a flipped bit adds to it depends on its distance from the end
// alone, and moves one byte away from the end by taking in one more zero byte.
func flippedBit(b []byte, checksum uint32) (place, bit int, ok bool) {
	difference := crc32.Checksum(b, castagnoli) ^ checksum
	var added [8]uint32
	for bit := range added {
		added[bit] = castagnoli[1<<bit]
	}
	for place := len(b) - 1; place >= 0; place-- {
		for bit, d := range added {
			if d == difference {
				return place, bit, true
			}
			added[bit] = castagnoli[byte(d)] ^ d>>8
		}
	}
	return 0, 0, false
}

// inspector checks the logs that Pebble is about to read.
type inspector struct {
	log *slog.Logger
	// salvage lets what is whole of a damaged log be read; the damage is
	// gathered instead of refused.
	salvage bool
	damage  []error // one for each log, of which maxMemTables and a few are kept
}

// inspect returns a DamageError when a file is a log and damaged, or, to
// salvage, a file to be read in its place.
func (i *inspector) inspect(fs vfs.FS, name string) (instead vfs.File, err error) {
	l, err := openLog(fs, name)
	if l == nil || err != nil {
		return nil, err
	}
	newest, err := l.isNewest(fs)
	if err != nil {
		return nil, err
	}
	good, torn, err := l.check(newest)
	switch {
	case err != nil && i.salvage:
		i.damage = append(i.damage, err)
		return vfs.NewMemFile(l.bytes[:good]), nil
	case err != nil:
		return nil, err
	case torn:
		i.log.Warn("torn tail of the journal's log is cut: what was being written in the crash, and not acknowledged",
			"file", name, "offset", good, "bytes", len(l.bytes)-good)
	}
	return nil, nil
}

// isNewest reports whether no log was begun after this one. There is only one
// manifest that counts.
func (l *logFile) isNewest(fs vfs.FS) (bool, error) {
	if l.manifest {
		return true, nil
	}
	names, err := fs.List(fs.PathDir(l.name))
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if number, isLog := logNumber(fs, name); isLog && uint32(number) > l.number {
			return false, nil
		}
	}
	return true, nil
}
