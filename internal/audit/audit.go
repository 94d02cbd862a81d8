// Package audit writes down how the allow list of a node changes: who was let in
// or shut out, when, and by whom. Its files are in one directory:
//
//	allowlist.log     the changes, oldest first: one line of JSON for each member
//	allowlist.log.1   those before; replaced when allowlist.log is full (1 MiB)
//	allowlist.known   the members as of some line, so that older ones can go
//
// A line has the change's number, which counts up from 1, its time, who made it
// ("program", the path of a file, or "while not running"), what it was (added,
// removed or changed), the peer, and its name, addresses, pins and limits as far
// as it has some: of who was removed as they were, and of who was changed also
// as they were before:
//
//	{"n":7,"time":"2026-03-01T12:00:00Z","by":"program","what":"changed",
//	 "peer":"12D3Koo…","name":"alice","limits":{"open":5},"was":{"name":"alice"}}
//
// When the log is opened, what differs between the list and what the log knows
// is written as done "while not running".
//
// # What a crash or a damage leaves
//
//   - A line is on disk when Record returns. One that was torn by a crash is cut
//     off when the log is opened; its change is then found as a difference.
//   - allowlist.known is replaced before allowlist.log.1 is, and says up to which
//     line it goes: read again, later lines give the same. When it can't be read,
//     Open says so. Whoever deletes it finds all members added anew.
//   - A damaged line is reported by [Read] and passed over by Open.
//   - What can't be written is kept in memory, up to 1,000 changes of members, and
//     tried again with the next change. What is lost all the same is found when the
//     log is opened next, without who did it and when.
//
// # Limitations
//
// The files can be changed by whoever may write them: lines bear no signature. Of
// two processes that write to one directory, neither notices the other.
package audit

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

const (
	// MaxFile bounds the files allowlist.log and allowlist.log.1, in bytes each. A line that
	// doesn't fit any more begins a new file, and the oldest one is deleted.
	MaxFile = 1 << 20
	// maxMissed bounds the changes of members kept until they can be written.
	// Later ones are found when the log is opened next.
	maxMissed = 1_000
)

// WhileNotRunning is the Entry.By of a change that was found when the log was
// opened.
const WhileNotRunning = "while not running"

// To be matched with [errors.Is].
var (
	// ErrClosed is a change that comes after Close.
	ErrClosed = errors.New("the log of the allow list is closed")
	// ErrDamaged is a file or a line that isn't as it was written.
	ErrDamaged = errors.New("damaged")
)

// Log writes changes down. Its methods may be called by many goroutines at once.
type Log struct {
	mu     sync.Mutex
	dir    string
	file   file  // nil: closed, or it has to be opened again
	size   int64 // of what is well written in file
	torn   bool  // behind that there may be more, which has to go
	closed bool

	known   map[identity.ID]allowlist.Member // as of the last line written, at most allowlist.MaxMembers
	last    uint64                           // number of the last entry, written or not
	written uint64                           // number of the last line written
	missed  []Entry                          // to be written, at most maxMissed
}

// Open opens the log in a directory, or makes both, and writes down how these,
// the members of the list, differ from what the log knows. So that no change is
// missed, subscribe to the list first, and let the callback wait until the log is
// open: a change that is in members already isn't written twice.
func Open(dir string, members []allowlist.Member, now time.Time) (*Log, error) {
	l := &Log{dir: dir, known: map[identity.ID]allowlist.Member{}}
	err := l.recall()
	if err == nil {
		err = l.reopen()
	}
	if err == nil {
		l.enter(l.difference(members, now))
		err = l.flush()
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// difference says what became of the list while nobody wrote it down.
func (l *Log) difference(members []allowlist.Member, now time.Time) allowlist.Change {
	change := allowlist.Change{Changed: members, By: WhileNotRunning, Time: now}
	listed := make(map[identity.ID]bool, len(members))
	for _, m := range members {
		listed[m.ID] = true
	}
	for id, m := range l.known {
		if !listed[id] {
			change.Removed = append(change.Removed, m)
		}
	}
	slices.SortFunc(change.Removed, func(a, b allowlist.Member) int { return a.ID.Compare(b.ID) })
	return change
}

// Record writes a change down, and what of earlier ones couldn't be written.
// What the log knows already isn't written again. When Record returns without an
// error all of it is on disk.
func (l *Log) Record(change allowlist.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.enter(change)
	if err := l.flush(); err != nil {
		return fmt.Errorf("a change of the allow list was not written down, which is tried again with the next one: %w", err)
	}
	return nil
}

// enter makes entries of what is new in a change.
func (l *Log) enter(change allowlist.Change) {
	pending := make(map[identity.ID]*allowlist.Member, len(l.missed)) // nil: removed
	for _, e := range l.missed {
		pending[e.Member.ID] = e.after()
	}
	before := func(id identity.ID) *allowlist.Member {
		if m, waits := pending[id]; waits {
			return m
		}
		if m, listed := l.known[id]; listed {
			return &m
		}
		return nil
	}
	note := func(what What, m allowlist.Member, was *allowlist.Member) {
		l.last++
		l.missed = append(l.missed, Entry{Number: l.last, Time: change.Time.UTC(), By: change.By, What: what, Member: m, Was: was})
	}
	for _, m := range slices.Concat(change.Added, change.Changed) {
		switch was := before(m.ID); {
		case was == nil:
			note(Added, m, nil)
		case !same(*was, m):
			note(Changed, m, was)
		}
	}
	for _, m := range change.Removed {
		if was := before(m.ID); was != nil {
			note(Removed, *was, nil)
		}
	}
}

// same reports whether two members are the same in all that is written down.
func same(a, b allowlist.Member) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Limits == b.Limits &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.From, b.From)
}

// flush writes what waits, as many lines at a time as fit into the file.
func (l *Log) flush() error {
	for len(l.missed) > 0 {
		lines, count, err := l.fitting()
		if err == nil && count == 0 {
			err = l.rotate()
		} else if err == nil {
			err = l.append(lines)
		}
		if err != nil {
			l.forget()
			return err
		}
		for _, e := range l.missed[:count] {
			l.learn(e)
		}
		l.missed = l.missed[count:]
	}
	l.missed = nil
	return nil
}

// forget drops what would wait beyond maxMissed.
func (l *Log) forget() {
	if len(l.missed) > maxMissed {
		l.missed = slices.Clone(l.missed[:maxMissed])
		l.last = l.missed[maxMissed-1].Number
	}
}

// learn notes what a line says.
func (l *Log) learn(e Entry) {
	l.last, l.written = max(l.last, e.Number), max(l.written, e.Number)
	if m := e.after(); m != nil {
		l.known[m.ID] = *m
	} else {
		delete(l.known, e.Member.ID)
	}
}

// Close tries once more to write what couldn't be written, and closes the log. A
// second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return errors.Join(l.flush(), l.shut()) // a rotation that failed left no file open, and lines that wait
}
