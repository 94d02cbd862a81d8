package journal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/cockroachdb/pebble/v2/vfs"
)

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
	synced   int    // offset that the log was synced to, as far as is known
	marked   bool   // a watermark told
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
	markName, number, ok := markFor(fs, name)
	if !ok {
		return nil, nil
	}
	l := &logFile{name: name}
	mark, found, err := readWatermark(fs, markName)
	if err != nil {
		return nil, err
	}
	if mark.log == number {
		l.synced = int(mark.offset)
	}
	if _, isLog := logNumber(fs, name); isLog {
		l.number, l.marked = uint32(number), found
	} else {
		l.manifest, l.marked = true, found && mark.log == number // each has its own
	}
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// About memTableSize, or manifestSize; this program has written it.
	l.bytes, err = io.ReadAll(f)
	return l, err
}

// chunk is what stands at an offset of a log.
type chunk struct {
	state  chunkState
	end    int    // offset after it
	synced uint64 // the log was synced up to here when it was written
	begins bool   // it is the first of its record
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
	c.begins = b[6] == first || b[6] == first+1
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
