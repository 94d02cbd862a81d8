package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/bits"
	"path/filepath"
	"strconv"
	"strings"

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
//   - a later chunk says that the log was synced beyond the place;
//   - the log was closed, by an end mark or because a newer log exists;
//   - flipping one bit back makes the chunk whole. That finds the flipped bit
//     in the very last chunk too, where nothing later can speak for it.

// logFile is one of Pebble's write-ahead logs, or its manifest. Both are blocks
// of 32 KiB filled with chunks (package record of Pebble, little-endian):
//
//	checksum (4) | length (2) | kind (1) | log number (4) | synced to (8) | bytes
//
// In the manifest log number and offset are missing. The checksum covers all
// from the kind on. A record is one full chunk, or a first, middle ones and a
// last. Less room than a header at the end of a block is left empty.
type logFile struct {
	name     string
	bytes    []byte
	manifest bool
	number   uint32 // of a write-ahead log
}

const (
	blockSize          = 32 << 10
	walHeaderSize      = 19
	manifestHeaderSize = 7
	endMarkSize        = 11

	walKinds      = 9 // full, first, middle, last: 9 to 12
	manifestKinds = 1 // 1 to 4
	endMarkKind   = 5
)

// openLog reads a log; nil when the file is none.
func openLog(fs vfs.FS, name string) (*logFile, error) {
	l := &logFile{name: name}
	number, isLog := strings.CutSuffix(fs.PathBase(name), ".log")
	if isLog {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, nil
		}
		l.number = uint32(n)
	} else if l.manifest = strings.HasPrefix(fs.PathBase(name), "MANIFEST-"); !l.manifest {
		return nil, nil
	}
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l.bytes, err = io.ReadAll(f)
	return l, err
}

// chunk is what stands at an offset of a log.
type chunk struct {
	state  chunkState
	end    int    // offset after it
	synced uint64 // the log was synced up to here when it was written
	ends   bool   // it is the last of its record
}

type chunkState int

const (
	whole   chunkState = iota // a chunk of this log
	padding                   // too little room for one: the next block follows
	endMark                   // this log was closed here
	outside                   // the end of the file
	blank                     // zeros: never written
	foreign                   // of the log that this file was used for before
	broken                    // none of these
)

func (l *logFile) headerSize() int {
	if l.manifest {
		return manifestHeaderSize
	}
	return walHeaderSize
}

// firstKind is the kind of a full chunk; those of first, middle and last follow.
func (l *logFile) firstKind() byte {
	if l.manifest {
		return manifestKinds
	}
	return walKinds
}

// chunkAt reads the chunk at an offset.
func (l *logFile) chunkAt(at int) chunk {
	blockEnd := min(at-at%blockSize+blockSize, len(l.bytes))
	b := l.bytes[min(at, blockEnd):blockEnd]
	switch {
	case len(b) == 0:
		return chunk{state: outside}
	case l.isEndMark(b):
		return chunk{state: endMark}
	case len(b) < l.headerSize() && blockEnd%blockSize == 0:
		return chunk{state: padding, end: blockEnd}
	case len(b) < l.headerSize():
		return chunk{state: broken}
	case isZero(b[:manifestHeaderSize]):
		return chunk{state: blank}
	}
	end := l.headerSize() + int(binary.LittleEndian.Uint16(b[4:]))
	if end > len(b) || !validChecksum(b, end) {
		return chunk{state: broken}
	}
	c := chunk{end: at + end}
	first := l.firstKind()
	if b[6] < first || b[6] > first+3 {
		return chunk{state: broken}
	}
	c.ends = b[6] == first || b[6] == first+3
	if !l.manifest {
		if binary.LittleEndian.Uint32(b[7:]) != l.number {
			return chunk{state: foreign}
		}
		c.synced = binary.LittleEndian.Uint64(b[11:])
	}
	return c
}

// isEndMark recognises what Pebble writes when it closes a log: an empty chunk
// without a checksum, of the log number after this one.
func (l *logFile) isEndMark(b []byte) bool {
	return !l.manifest && len(b) >= endMarkSize && isZero(b[:6]) && b[6] == endMarkKind &&
		binary.LittleEndian.Uint32(b[7:]) == l.number+1
}

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
		case endMark:
			return good, false, nil
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
	case state == outside && len(l.bytes) == 0:
		return "" // created, and never written
	case !newest:
		return "a log that was closed ends here"
	case state == outside:
		return ""
	case l.writtenBeyond(at):
		return "what is here can't be read, and was once synced"
	case state == broken && l.oneBitOff(at):
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
// there was written after the place was synced. Every edit of the manifest is
// synced before the next.
func (l *logFile) proves(next, place int) bool {
	for block := next / blockSize; next/blockSize == block; {
		c := l.chunkAt(next)
		switch {
		case c.state == endMark:
			return true
		case c.state != whole:
			return false
		case l.manifest || c.synced > uint64(place):
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

// validChecksum compares the checksum of a chunk that ends at end.
func validChecksum(b []byte, end int) bool {
	return unmask(binary.LittleEndian.Uint32(b)) == crc32.Checksum(b[6:end], castagnoli)
}

// unmask undoes what LevelDB does to a checksum, lest a checksum of bytes with
// checksums in them be a weak one.
func unmask(masked uint32) uint32 { return bits.RotateLeft32(masked-0xa282ead8, 15) }

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// inspector checks the logs that Pebble is about to read.
type inspector struct {
	log *slog.Logger
	// salvage lets what is whole of a damaged log be read; the damage is
	// gathered instead of refused.
	salvage bool
	damage  []error
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
		number, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
		if filepath.Ext(name) == ".log" && err == nil && uint32(number) > l.number {
			return false, nil
		}
	}
	return true, nil
}
