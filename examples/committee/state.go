package committee

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
)

// State is what a member knows and must not forget: the records of its file, and
// an index over them. One goroutine uses it; that no other process does is
// ensured by the handler, whose directory is locked.
type State struct {
	index
	file    storage
	now     func() time.Time
	pending []Record // appended and not yet synced
	failed  error    // of a write: what is on disk isn't known, so nothing more may happen
}

// storage is the file, or a failing disk in a test.
type storage interface {
	io.ReadWriteSeeker
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// OpenState opens a member's state file, which only its owner can read, or
// makes it together with the member's signing key. Errors match ErrDamaged, or
// are the file system's.
func OpenState(path string) (*State, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err == nil { // so that the new file's name is durable too
		err = errors.Join(directory.Sync(), directory.Close())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	state, err := openState(file, time.Now)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return state, nil
}

func openState(file storage, now func() time.Time) (*State, error) {
	s := &State{index: newIndex(), file: file, now: now}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	records, size, err := decodeState(content)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(size); err != nil {
		return nil, err
	}
	if _, err := file.Seek(size, io.SeekStart); err != nil {
		return nil, err
	}
	for number, record := range records {
		if err := s.add(record); err != nil {
			return nil, fmt.Errorf("%w (record %d: %w)", ErrDamaged, number+1, err)
		}
	}
	if s.key == nil {
		key, err := btcec.NewPrivateKey()
		if err != nil {
			return nil, fmt.Errorf("making a signing key: %w", err)
		}
		if err := s.append(Record{Kind: SigningKeyMade, Secret: key.Serialize()}); err != nil {
			return nil, err
		}
	}
	if err := s.voidLostRounds(); err != nil {
		return nil, err
	}
	return s, s.Sync()
}

// append notes a fact at once; it is durable after the next Sync. An error says
// that it can't be a fact: nothing was noted.
func (s *State) append(record Record) error {
	if record.Time == 0 {
		record.Time = s.now().UnixMicro()
	}
	if err := s.add(record); err != nil {
		return err
	}
	s.pending = append(s.pending, record)
	return nil
}

// Sync makes what was appended durable: all of it or, after a crash meanwhile,
// nothing. Nothing that depends on a fact may leave the member before.
func (s *State) Sync() error {
	if s.failed != nil || len(s.pending) == 0 {
		return s.failed
	}
	batch, err := encodeBatch(s.pending)
	if err == nil {
		_, err = s.file.Write(batch)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.failed = fmt.Errorf("storing the member's state: %w", err)
	}
	s.pending = s.pending[:0]
	return s.failed
}

// Close closes the file. What wasn't synced is forgotten, as after a crash.
func (s *State) Close() error { return s.file.Close() }
