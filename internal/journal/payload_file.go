package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	fileMagic      = "parley\x00p"
	fileHeaderSize = 8 + 4 + 8 + 8 + checksumSize
	fileSuffix     = ".payload"

	// pieceSize bounds the bytes of payload under one checksum, and in memory of one
	// that is being written or read.
	pieceSize = 64 << 10

	// syncEvery bounds the bytes of a large file that the kernel gathers before it
	// writes them: the records' next sync would have to wait for them.
	syncEvery = 1 << 20
)

// fileWriter writes the file of one payload.
type fileWriter struct {
	files  *payloadFiles
	file   vfs.File
	number uint64
	size   int64
	left   int64  // bytes still to come
	piece  []byte // what has come since the last piece was written, at most pieceSize
	index  uint32 // of the piece
}

// create begins a file. Its number is fresh, so nothing is overwritten; until
// a record names the number the file is an orphan, and swept after a crash.
func (f *payloadFiles) create(number uint64, size int64) (*fileWriter, error) {
	// One for each stream or call that brings a payload, until it is finished.
	file, err := f.fs.Create(f.path(number), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: syncEvery})
	w := &fileWriter{files: f, file: file, number: number, size: size, left: size,
		piece: make([]byte, 0, pieceSize+checksumSize)}
	if _, err := file.Write(fileHeader(number, size)); err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

func fileHeader(number uint64, size int64) []byte {
	h := make([]byte, 0, fileHeaderSize)
	h = append(h, fileMagic...)
	h = binary.LittleEndian.AppendUint32(h, formatVersion)
	h = binary.LittleEndian.AppendUint64(h, number)
	h = binary.LittleEndian.AppendUint64(h, uint64(size))
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// pieceChecksum covers the payload's number and the piece's index too, so that
// no piece can pass for another.
func pieceChecksum(number uint64, index uint32, piece []byte) uint32 {
	place := make([]byte, 0, 12)
	place = binary.LittleEndian.AppendUint64(place, number)
	place = binary.LittleEndian.AppendUint32(place, index)
	return crc32.Update(crc32.Checksum(place, castagnoli), castagnoli, piece)
}

func (w *fileWriter) Write(p []byte) (written int, err error) {
	if int64(len(p)) > w.left {
		return 0, fmt.Errorf("payload %d: more bytes than the %d announced", w.number, w.size)
	}
	for len(p) > 0 {
		n := min(pieceSize-len(w.piece), len(p))
		w.piece = append(w.piece, p[:n]...)
		p = p[n:]
		w.left -= int64(n)
		written += n
		if len(w.piece) == pieceSize || w.left == 0 {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (w *fileWriter) flush() error {
	sum := pieceChecksum(w.number, w.index, w.piece)
	_, err := w.file.Write(binary.LittleEndian.AppendUint32(w.piece, sum))
	w.piece = w.piece[:0]
	w.index++
	return err
}

// finish makes the file and its name durable.
func (w *fileWriter) finish() error {
	if w.left > 0 {
		return fmt.Errorf("payload %d: %w", w.number, errShort)
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return err
	}
	if err := syncDir(w.files.fs, w.files.dir); err != nil {
		return err
	}
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	w.files.sizes[w.number] = w.size
	return nil
}

// abort removes what has been written. What can't be removed is an orphan, and
// the next start tries again.
func (w *fileWriter) abort() {
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
	_ = w.files.fs.Remove(w.files.path(w.number))
}

// fileReader reads and verifies the file of one payload, piece by piece.
type fileReader struct {
	file   vfs.File
	where  string
	number uint64
	size   int64
	left   int64  // bytes not read from the file yet
	index  uint32 // of the next piece
	buffer []byte
	piece  []byte // of buffer: verified and not read yet, at most pieceSize
}

// open verifies the header; errNoRow when there is no such file.
func (f *payloadFiles) open(number uint64) (*fileReader, error) {
	if !f.has(number) {
		return nil, errNoRow
	}
	file, err := f.fs.Open(f.path(number), vfs.SequentialReadsOption)
	switch {
	case err != nil && !f.has(number): // dropped just now
		return nil, errNoRow
	case err != nil:
		return nil, err
	}
	r := &fileReader{file: file, where: f.path(number), number: number}
	if err := r.readHeader(); err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

func (r *fileReader) readHeader() error {
	h := make([]byte, fileHeaderSize)
	if _, err := io.ReadFull(r.file, h); err != nil {
		return &DamageError{Where: r.where + ", offset 0", What: "header is cut short", Err: err}
	}
	end := fileHeaderSize - checksumSize
	if string(h[:8]) != fileMagic || binary.LittleEndian.Uint32(h[end:]) != crc32.Checksum(h[:end], castagnoli) {
		return &DamageError{Where: r.where + ", offset 0", What: "header's checksum differs"}
	}
	if version := binary.LittleEndian.Uint32(h[8:]); version != formatVersion {
		return versionError(r.where, uint64(version))
	}
	if number := binary.LittleEndian.Uint64(h[12:]); number != r.number {
		return &DamageError{Where: r.where + ", offset 0", What: fmt.Sprintf("is the file of payload %d", number)}
	}
	r.size = int64(binary.LittleEndian.Uint64(h[20:]))
	r.left = r.size
	return r.checkSize()
}

// checkSize compares the size that the header tells with the file's, before anyone
// sets memory aside for it.
func (r *fileReader) checkSize() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	rest := info.Size() - fileHeaderSize
	pieces := (rest + pieceSize + checksumSize - 1) / (pieceSize + checksumSize)
	room := max(0, rest-pieces*checksumSize)
	if r.size != room || rest < pieces*checksumSize {
		return &DamageError{Where: r.where + ", offset 0",
			What: fmt.Sprintf("header tells of %d bytes of payload, the file has room for %d", r.size, room)}
	}
	return nil
}

func (r *fileReader) Read(p []byte) (int, error) {
	if len(r.piece) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.buffer == nil {
			r.buffer = make([]byte, pieceSize+checksumSize)
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// next reads the next piece.
func (r *fileReader) next() error {
	n := int(min(pieceSize, r.left))
	offset := fileHeaderSize + int64(r.index)*(pieceSize+checksumSize)
	where := fmt.Sprintf("%s, offset %d", r.where, offset)
	if _, err := io.ReadFull(r.file, r.buffer[:n+checksumSize]); err != nil {
		return &DamageError{Where: where, What: "piece is cut short", Err: err}
	}
	if binary.LittleEndian.Uint32(r.buffer[n:]) != pieceChecksum(r.number, r.index, r.buffer[:n]) {
		return &DamageError{Where: where, What: "piece's checksum differs"}
	}
	r.piece = r.buffer[:n]
	r.left -= int64(n)
	r.index++
	return nil
}
