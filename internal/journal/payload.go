package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FileSize bounds the payloads that are kept among the records, in bytes: one of
// that size or more always has a file of its own. In the log it would hold up
// everyone's commit.
const FileSize = 1 << 20

// reserved is how many payload numbers are made durable at once. A number
// costs nothing to lose: there are 2^64.
const reserved = 1 << 16

var errShort = errors.New("fewer bytes than announced")

// NextPayload returns a number under which nothing was ever stored, and which
// was never returned before, also not before a restart. Once in 65,536 calls it
// waits for a sync. It may be called at any time by anyone.
func (j *Journal) NextPayload() uint64 {
	j.numbers.Lock()
	defer j.numbers.Unlock()
	if j.next == j.reservedTo {
		// A failure is latched, and then no payload can be stored anyway.
		_ = j.reserve()
	}
	number := j.next
	j.next++
	return number
}

// reserve makes a further range of numbers durable before any is given.
func (j *Journal) reserve() error {
	if err := j.check(); err != nil {
		return err
	}
	to := j.reservedTo + reserved
	b := j.store.begin()
	b.set(numberRow, nil, binary.BigEndian.AppendUint64(nil, to))
	if err := b.commit(true); err != nil {
		return err
	}
	j.reservedTo = to
	return nil
}

// recoverNumbers continues where the last run's reservation ends.
func (j *Journal) recoverNumbers() error {
	j.next = 1
	err := j.row([]byte{numberRow}, func(value []byte) error {
		if len(value) != 8 {
			return &DamageError{Where: rowName([]byte{numberRow}), What: "isn't 8 bytes long"}
		}
		j.next = binary.BigEndian.Uint64(value)
		return nil
	})
	if err != nil && !errors.Is(err, errNoRow) {
		return err
	}
	j.firstNew, j.reservedTo = j.next, j.next
	return j.reserve()
}

// PayloadWriter takes a payload in, by one goroutine, while it arrives. Neither
// memory nor disk is taken for bytes that haven't come.
type PayloadWriter struct {
	journal *Journal
	number  uint64
	size    int64
	memory  []byte      // of a small payload, less than FileSize
	held    int64       // bytes of Journal.arriving
	file    *fileWriter // of any other, until it is finished
}

// CreatePayload begins to store a payload of size bytes under a number that
// NextPayload gave. Finish or Abort must follow. Payloads below FileSize arrive
// in memory while all those under way together have at most Options.CacheBytes;
// what is beyond that goes to a file, however small.
func (j *Journal) CreatePayload(number uint64, size int64) (*PayloadWriter, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("payload %d: a size of %d", number, size)
	}
	w := &PayloadWriter{journal: j, number: number, size: size}
	if size < FileSize && j.arrive(size) {
		w.held = size
		w.memory = make([]byte, 0, min(size, pieceSize))
		return w, nil
	}
	file, err := j.files.create(number, size)
	if err != nil {
		return nil, j.writeError(err)
	}
	w.file = file
	return w, nil
}

// arrive sets memory aside for a payload, if there is enough.
func (j *Journal) arrive(size int64) bool {
	if j.arriving.Add(size) <= j.cache.limit {
		return true
	}
	j.arriving.Add(-size)
	return false
}

// Write takes the next bytes; more than announced are an error.
func (w *PayloadWriter) Write(p []byte) (int, error) {
	if w.file != nil {
		return w.file.Write(p)
	}
	have := int64(len(w.memory))
	if have+int64(len(p)) > w.size {
		return 0, fmt.Errorf("payload %d: more bytes than the %d announced", w.number, w.size)
	}
	if need := have + int64(len(p)); need > int64(cap(w.memory)) {
		// Doubled, but never beyond what is to come: the cache keeps it.
		grown := make([]byte, have, min(w.size, max(need, 2*have)))
		copy(grown, w.memory)
		w.memory = grown
	}
	w.memory = append(w.memory, p...)
	return len(p), nil
}

// Finish stores the payload. A record may name its number afterwards: that
// record can't outlive it in a crash. A small payload goes unsynced into the
// log that the record follows in; a large one's file is synced, with its
// directory, by the calling goroutine, and holds up nobody else.
func (w *PayloadWriter) Finish() error {
	if file := w.file; file != nil {
		w.file = nil
		if err := file.finish(); err != nil {
			file.abort()
			return w.journal.writeError(err)
		}
		return nil
	}
	defer w.Abort() // what is stored is the journal's, and in the cache's limit
	if int64(len(w.memory)) < w.size {
		return fmt.Errorf("payload %d: %w", w.number, errShort)
	}
	b := w.journal.Batch()
	b.SetPayload(w.number, w.memory)
	return b.Commit(false)
}

// Abort forgets the payload; after Finish it does nothing.
func (w *PayloadWriter) Abort() {
	if w.file != nil {
		w.file.abort()
	}
	w.journal.arriving.Add(-w.held)
	w.file, w.memory, w.held = nil, nil, 0
}

// writeError turns a failed write of a payload's file into what its caller
// sees. It doesn't fail the journal: no record names the file.
func (j *Journal) writeError(err error) error {
	if errors.Is(err, errShort) {
		return err
	}
	if failed := j.failure.check(); failed != nil {
		return failed
	}
	return fmt.Errorf("payload not stored: %w", err)
}

// PayloadReader reads a payload from its beginning, verified as it goes. One
// goroutine uses it, and closes it.
type PayloadReader struct {
	io.Reader
	size int64
	file io.Closer
}

// Size is the payload's, in bytes.
func (r *PayloadReader) Size() int64 { return r.size }

// Close releases the file.
func (r *PayloadReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// OpenPayload opens a payload; ErrNoPayload when there is none. A large one is
// streamed from its file.
func (j *Journal) OpenPayload(number uint64) (*PayloadReader, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	file, err := j.files.open(number)
	switch {
	case err == nil:
		return &PayloadReader{Reader: file, size: file.size, file: file.file}, nil
	case !errors.Is(err, errNoRow):
		return nil, err
	}
	p, err := j.smallPayload(number)
	if err != nil {
		return nil, err
	}
	return &PayloadReader{Reader: bytes.NewReader(p), size: int64(len(p))}, nil
}

// Payload returns a whole payload, verified; nobody may change it.
func (j *Journal) Payload(number uint64) ([]byte, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	file, err := j.files.open(number)
	switch {
	case errors.Is(err, errNoRow):
		return j.smallPayload(number)
	case err != nil:
		return nil, err
	}
	defer file.file.Close()
	p := make([]byte, file.size)
	if _, err := io.ReadFull(file, p); err != nil {
		return nil, err
	}
	return p, nil
}

// smallPayload reads one that has no file of its own.
func (j *Journal) smallPayload(number uint64) ([]byte, error) {
	if p, ok := j.cache.get(number); ok {
		return p, nil
	}
	var p []byte
	err := j.row(append([]byte{payloadRow}, numberKey(number)...), func(value []byte) error {
		p = make([]byte, len(value))
		copy(p, value)
		return nil
	})
	if errors.Is(err, errNoRow) {
		return nil, fmt.Errorf("%w: %d", ErrNoPayload, number)
	}
	if err != nil {
		return nil, err
	}
	j.cache.add(number, p)
	return p, nil
}
