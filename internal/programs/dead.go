package programs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/durable"
)

const (
	// maxDead bounds the dead letters. When there are so many, a request that would be
	// another is tried again without end.
	maxDead = 1000
	// maxWhy bounds what is kept of a failure, in bytes.
	maxWhy = 256
	// deadLettersFile is in the node's directory.
	deadLettersFile = "deadletters.json"
)

var errManyDead = fmt.Errorf("there are %d dead letters: retry, answer or reject them", maxDead)

// DeadLetter is a request that its program has failed to answer. It has no payload:
// that is in the journal.
type DeadLetter struct {
	ID       parley.ID   `json:"id"`
	Peer     identity.ID `json:"peer"`
	Lane     string      `json:"lane"`
	Program  string      `json:"program"`
	Attempts int         `json:"attempts"`
	Died     time.Time   `json:"died"` // when the last attempt failed
	Reason   string      `json:"reason"`
}

// deadLetters is the list, which is on disk whenever a call returns without error.
// The nil list is empty.
type deadLetters struct {
	path string

	mu      sync.Mutex
	letters []DeadLetter // at most maxDead, the oldest first
}

// openDeadLetters reads the list in a directory, but for those that have ended.
func openDeadLetters(directory string, ended func(parley.ID) bool) (*deadLetters, error) {
	d := &deadLetters{path: filepath.Join(directory, deadLettersFile)}
	text, err := os.ReadFile(d.path) // it has at most maxDead letters
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d.letters)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: delete it, and the requests in it are tried anew", d.path, err)
	}
	d.letters = slices.DeleteFunc(d.letters, func(l DeadLetter) bool { return ended(l.ID) })
	return d, nil
}

func (d *deadLetters) all() []DeadLetter {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.letters)
}

func (d *deadLetters) has(id parley.ID) bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.letters, func(l DeadLetter) bool { return l.ID == id })
}

// add puts a letter on the list, unless that is full.
func (d *deadLetters) add(l DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.letters) >= maxDead {
		return errManyDead
	}
	l.Reason = strings.ToValidUTF8(l.Reason[:min(len(l.Reason), maxWhy)], "")
	return d.write(append(slices.Clone(d.letters), l))
}

func (d *deadLetters) remove(id parley.ID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(slices.DeleteFunc(slices.Clone(d.letters), func(l DeadLetter) bool { return l.ID == id }))
}

// write makes this the list, once it is on disk.
func (d *deadLetters) write(letters []DeadLetter) error {
	text, err := json.MarshalIndent(letters, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(d.path, append(text, '\n'), 0o600); err != nil {
		return err
	}
	d.letters = letters
	return nil
}
