package allowlist

import (
	"errors"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// watcher tells that something happened in a directory, no matter what.
type watcher interface {
	// Aim makes these the directories that are watched.
	Aim(directories ...string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

// watchDirectories watches with what the operating system has for it.
func watchDirectories() (watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return directories{w}, nil
}

type directories struct{ watcher *fsnotify.Watcher }

// Aim adds those too that are watched already: another directory may have taken
// the name meanwhile.
func (d directories) Aim(wanted ...string) error {
	var failures []error
	for _, path := range d.watcher.WatchList() {
		if !slices.Contains(wanted, path) {
			if err := d.watcher.Remove(path); !errors.Is(err, fsnotify.ErrNonExistentWatch) {
				failures = append(failures, err)
			}
		}
	}
	for _, path := range wanted {
		failures = append(failures, d.watcher.Add(path))
	}
	return errors.Join(failures...)
}

func (d directories) Events() <-chan fsnotify.Event { return d.watcher.Events }
func (d directories) Errors() <-chan error          { return d.watcher.Errors }
func (d directories) Close() error                  { return d.watcher.Close() }

// blind is a watcher where there can be none.
type blind struct{}

func (blind) Aim(...string) error           { return nil }
func (blind) Events() <-chan fsnotify.Event { return nil }
func (blind) Errors() <-chan error          { return nil }
func (blind) Close() error                  { return nil }
