package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// What a caller can match with errors.Is.
var (
	// ErrLocked: another process, or another Open in this one, has the journal.
	ErrLocked = errors.New("journal is in use")
	// ErrOwner: the journal belongs to another peer ID.
	ErrOwner = errors.New("journal belongs to another peer")
	// ErrVersion: a newer release wrote it.
	ErrVersion = errors.New("journal is of a newer version")
	// ErrDamaged: bytes on disk are not what was written; see DamageError.
	ErrDamaged = errors.New("journal is damaged")
	// ErrFailed: the disk refused a write or a sync, now or earlier. What the
	// call wrote may be on disk or not; nothing more is written or read until
	// the journal is opened again.
	ErrFailed = errors.New("journal has failed")
	// ErrNoPayload: no payload is stored under that number.
	ErrNoPayload = errors.New("no such payload")
	// ErrClosed: the journal has been closed.
	ErrClosed = errors.New("journal is closed")
)

// DamageError says what is damaged, and where. It matches ErrDamaged.
type DamageError struct {
	Where string // a file and an offset, or a row and its key
	What  string // what is wrong there
	Err   error  // the cause, when another layer found it
}

// repair is for the operator, in the order in which to do it.
const repair = "what is on disk stays as it is: list what can be read of it with `parley journal dump`; " +
	"then either restore the whole directory from a backup, or keep it aside and start anew in an empty one, " +
	"without the exchanges that were open"

// Error names the place, and says what can be done.
func (e *DamageError) Error() string {
	text := fmt.Sprintf("%s: %s: %s", ErrDamaged, e.Where, e.What)
	if e.Err != nil {
		cause, _, _ := strings.Cut(e.Err.Error(), "\n")
		text += ": " + cause
	}
	return text + "; " + repair
}

// Is makes a DamageError match ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// failure is latched by the first write that the disk refuses. What can't be
// written can't be trusted either: after a failed sync the kernel may have
// dropped the pages, so that a second sync succeeds without them.
type failure struct {
	mu  sync.Mutex
	err error
	ch  chan struct{} // closed with the first failure
}

func newFailure() *failure { return &failure{ch: make(chan struct{})} }

// latch notes the first cause and returns the error to give for ever after.
func (f *failure) latch(cause error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("%w and writes nothing more; free or replace the disk, then restart: %w", ErrFailed, cause)
		close(f.ch)
	}
	return f.err
}

// check returns the latched error, or nil.
func (f *failure) check() error {
	select {
	case <-f.ch:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.err
	default:
		return nil
	}
}
