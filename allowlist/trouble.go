package allowlist

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// OnTrouble has f called when the file that the list follows can't be taken
// over, until cancel is called: it can't be read, is gone, or is wrong. The list
// stays as it was. The error is a *[FileError], with the line where one is wrong.
// Each trouble is told once; one that is told again was over in between, or
// another was there. A trouble that stands already is told before OnTrouble
// returns. To see that it is over, ask [List.Trouble].
//
// Calls come one at a time and hold up the next look at the file. f may use and
// change the list, but must not close it, nor call OnTrouble.
func (l *List) OnTrouble(f func(error)) (cancel func()) { return l.troubles.subscribe(f) }

// Trouble returns what stands between the list and the file that it follows;
// nil: nothing does.
func (l *List) Trouble() error {
	l.troubles.mu.Lock()
	defer l.troubles.mu.Unlock()
	return errors.Join(l.troubles.standing[:]...)
}

// Kinds of trouble, of which one each can stand.
const (
	ofFile = iota
	ofWatch
	kinds
)

// troubles tells of what is wrong, and remembers it for those who come later.
type troubles struct {
	telling sync.Mutex // held while someone is told: all hear the same order

	mu          sync.Mutex
	standing    [kinds]error
	subscribers []*sufferer // replaced, never modified; a few for each handler, and what the application adds
}

type sufferer struct {
	call      func(error)
	cancelled atomic.Bool
}

func (t *troubles) subscribe(f func(error)) (cancel func()) {
	t.telling.Lock()
	defer t.telling.Unlock()
	s := &sufferer{call: f}
	t.mu.Lock()
	t.subscribers = append(slices.Clone(t.subscribers), s)
	standing := t.standing
	t.mu.Unlock()
	for _, err := range standing {
		if err != nil {
			f(err)
		}
	}
	return func() {
		s.cancelled.Store(true)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.subscribers = slices.DeleteFunc(slices.Clone(t.subscribers), func(other *sufferer) bool { return other == s })
	}
}

// set tells of a trouble, unless it was told already; nil: there is none any more.
func (t *troubles) set(kind int, err error) {
	t.telling.Lock()
	defer t.telling.Unlock()
	t.mu.Lock()
	told := t.standing[kind]
	t.standing[kind] = err
	subscribers := t.subscribers
	t.mu.Unlock()
	if err == nil || told != nil && told.Error() == err.Error() {
		return
	}
	for _, s := range subscribers {
		if !s.cancelled.Load() {
			s.call(err)
		}
	}
}
