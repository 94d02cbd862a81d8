package allowlist

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/parley-p2p/parley/internal/durable"
)

// How a file is followed.
const (
	// settle is how long nothing must have happened in the file's directory before
	// the file is looked at: most who write in several steps are done by then.
	settle = 100 * time.Millisecond
	// patience bounds how long a look is put off where something happens all the
	// time.
	patience = time.Second
	// slowLook is how often the file is looked at where nothing seems to happen:
	// some file systems, above all remote ones, don't tell.
	slowLook = 30 * time.Second
	// emptyFor is how long a file must have been without a peer before it takes all
	// peers off a list that has some. Who truncates a file and then writes it mustn't
	// shut everybody out in between.
	emptyFor = 2 * time.Second
)

// Follow is [Load], and from then on the list is what the file says, as the
// package comment explains. Whoever calls it calls [List.Close] in the end. An
// error is one of Load's.
func Follow(path string) (*List, error) {
	return follow(path, watchDirectories)
}

func follow(path string, watch func() (watcher, error)) (*List, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	l, content, err := load(path)
	if err != nil {
		return nil, err
	}
	f := &follower{list: l, name: path, path: absolute, taken: sha256.Sum256(content),
		closing: make(chan struct{}), done: make(chan struct{})}
	if f.watch, err = watch(); err != nil {
		f.watch = blind{}
		f.troubled(ofWatch, unwatched(err))
	}
	l.follower = f
	go f.run() // one for each handler's list, until Close
	return l, nil
}

// Close ends the following of a file, and waits for a callback under way: so it
// must not be called by one. The list stays, as one that follows no file; for
// such a list there is nothing to do.
func (l *List) Close() error {
	if l.follower == nil {
		return nil
	}
	if self := goroutine(); l.teller.Load() == self || l.follower.goroutine.Load() == self {
		panic("allowlist: a callback closes the list that it is told of; let another goroutine do so after it returned")
	}
	return l.follower.close()
}

// follower is the goroutine that looks at a file.
type follower struct {
	list *List
	name string // of the file, as it was given
	path string // the same, absolute: the program may change its directory
	// Guarded by the list's mu:
	taken [sha256.Size]byte // of the content last taken over, or saved
	saves int               // how often the program wrote the file

	watch     watcher
	emptied   time.Time    // since when the file was seen without a peer; zero: there is no doubt about it
	goroutine atomic.Int64 // its number
	closing   chan struct{}
	once      sync.Once
	done      chan struct{}
}

func (f *follower) close() error {
	var err error
	f.once.Do(func() {
		close(f.closing)
		<-f.done
		err = f.watch.Close()
	})
	return err
}

// run looks at the file once events have settled, and now and then without.
func (f *follower) run() {
	defer close(f.done)
	f.goroutine.Store(goroutine())
	next := time.NewTimer(settle) // something may have happened since it was loaded
	defer next.Stop()
	var first time.Time // of the events since the last look; zero: none
	events, failures := f.watch.Events(), f.watch.Errors()
	for {
		var err error
		select {
		case <-f.closing:
			return
		case <-next.C:
			first = time.Time{}
			next.Reset(f.look(time.Now()))
			continue
		case <-events:
		case err = <-failures:
		}
		if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) { // after which one only has to look
			f.troubled(ofWatch, unwatched(err))
		}
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		next.Reset(min(settle, first.Add(patience).Sub(now)))
	}
}

// look takes over what the file says, if that is new, and returns when to look
// again.
func (f *follower) look(now time.Time) time.Duration {
	f.aim()
	saves, taken := f.state()
	content, err := readRegular(f.path)
	if err != nil {
		f.emptied = time.Time{}
		f.troubled(ofFile, &FileError{Err: durable.Reason(err)})
		return slowLook
	}
	sum := sha256.Sum256(content)
	if sum == taken {
		f.emptied = time.Time{}
		f.troubled(ofFile, nil)
		return slowLook
	}
	next, err := decode(content)
	if err != nil {
		f.emptied = time.Time{}
		f.troubled(ofFile, err)
		return slowLook
	}
	if wait := f.doubt(next, now); wait > 0 {
		return wait
	}
	f.emptied = time.Time{}
	if !f.take(next, sum, saves) {
		return settle
	}
	f.troubled(ofFile, nil)
	return slowLook
}

// doubt says how long to wait before a file without a peer is believed.
func (f *follower) doubt(next *List, now time.Time) time.Duration {
	if len(next.current.Load().byID) > 0 || len(f.list.current.Load().byID) == 0 {
		return 0
	}
	if f.emptied.IsZero() {
		f.emptied = now
	}
	return f.emptied.Add(emptyFor).Sub(now)
}

func (f *follower) state() (saves int, taken [sha256.Size]byte) {
	f.list.mu.Lock()
	defer f.list.mu.Unlock()
	return f.saves, f.taken
}

// take makes the list what the file says, unless the program has saved the list
// since the file was read.
func (f *follower) take(next *List, sum [sha256.Size]byte, saves int) (taken bool) {
	// What was decoded is right: there is no error.
	_ = f.list.update(f.name, func(t *table) (*table, error) {
		if taken = f.saves == saves; !taken {
			return t, nil
		}
		f.taken = sum
		return next.current.Load(), nil
	})
	return taken
}

// save writes the list to the file that it follows. Such a file says nothing new.
func (f *follower) save() error {
	f.list.mu.Lock()
	defer f.list.mu.Unlock()
	content, err := f.list.save(f.path)
	if err == nil {
		f.taken = sha256.Sum256(content)
		f.saves++
	}
	return err
}

// is reports whether this is the path of the file.
func (f *follower) is(path string) bool {
	absolute, err := filepath.Abs(path)
	return err == nil && absolute == f.path
}

// aim watches the directory of the file, where editors rename it and links to it
// are swapped, and the one in which a link to it ends. A directory that was
// replaced meanwhile is watched anew.
func (f *follower) aim() {
	directories := []string{filepath.Dir(f.path)}
	if target, err := filepath.EvalSymlinks(f.path); err == nil {
		if other := filepath.Dir(target); other != directories[0] {
			directories = append(directories, other)
		}
	}
	err := f.watch.Aim(directories...)
	switch {
	case err == nil && f.watch != blind{}:
		f.troubled(ofWatch, nil)
	case err != nil && !errors.Is(err, fs.ErrNotExist): // that it is missing is the file's trouble
		f.troubled(ofWatch, unwatched(err))
	}
}

func (f *follower) troubled(kind int, err error) { f.list.troubles.set(kind, atPath(f.name, err)) }

// unwatched says what it means that a directory can't be watched.
func unwatched(err error) error {
	return &FileError{Err: fmt.Errorf("its directory can't be watched, so that a change is found only when the file is looked at every %v: %w", slowLook, durable.Reason(err))}
}

// readRegular is readFile for a file that may have been replaced by anything: a
// pipe would never end.
func readRegular(path string) ([]byte, error) {
	status, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !status.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a regular file")
	}
	return readFile(path)
}
