package allowlist

import (
	"bytes"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/parley-p2p/parley/identity"
)

// ByProgram is the Change.By of a change that the program made itself.
const ByProgram = "program"

// Change is what became different in a list. Each part is sorted as
// [List.Members] is.
type Change struct {
	Added   []Member
	Removed []Member // as they were
	Changed []Member // as they are: with another name, other addresses, pins or limits
	By      string   // ByProgram, or the path of the file that the list follows
	Time    time.Time
}

func (c Change) empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// Add puts a member on the list. Where its ID is on the list already, the new
// member takes the place of the earlier one as a whole. When Add returns, every
// subscriber of OnChange has been told. An error is a *[FieldError] (a name that
// another member has matches [ErrDuplicate]) or [ErrTooMany], and nothing has
// changed.
func (l *List) Add(m Member) error {
	m, err := m.checked(0)
	if err != nil {
		return err
	}
	return l.update(ByProgram, func(t *table) (*table, error) {
		if holder, taken := t.byName[m.Name]; taken && holder != m.ID {
			return nil, &FieldError{Field: "name", Err: ErrDuplicate}
		}
		if _, listed := t.byID[m.ID]; !listed && len(t.byID) == MaxMembers {
			return nil, ErrTooMany
		}
		return t.with(m), nil
	})
}

// Remove takes a member off the list and reports whether it was on it. When
// Remove returns, every subscriber of OnChange has been told, and so has done
// what it does then: a node has hung up.
func (l *List) Remove(id identity.ID) (removed bool) {
	// What is left of a right list is right: there is no error.
	_ = l.update(ByProgram, func(t *table) (*table, error) {
		if _, removed = t.byID[id]; !removed {
			return t, nil
		}
		return t.without(id), nil
	})
	return removed
}

// Replace makes these the members, all at once. When it returns, every
// subscriber of OnChange has been told. An error is one that [New] gives, and
// nothing has changed.
func (l *List) Replace(members []Member) error {
	next, err := tableOf(members)
	if err != nil {
		return err
	}
	return l.update(ByProgram, func(*table) (*table, error) { return next, nil })
}

// update makes a change and tells of it. Changes are made one after another,
// each when all subscribers have been told of the one before.
func (l *List) update(by string, next func(*table) (*table, error)) error {
	l.begin()
	defer l.writing.Unlock()
	before, after, subscribers, err := l.replace(next)
	if err != nil || after == before {
		return err
	}

	l.teller.Store(goroutine())
	defer l.teller.Store(nobody)
	now := time.Now()
	for _, s := range slices.Backward(subscribers) {
		// Deferred, all are told even if the callback of one panics.
		defer func() {
			change := difference(before, after)
			change.By, change.Time = by, now
			if !s.cancelled.Load() && !change.empty() {
				s.call(change)
			}
		}()
	}
	return nil
}

// replace makes the change. Who subscribes before is told of it, who does so
// afterwards finds it in the list.
func (l *List) replace(next func(*table) (*table, error)) (before, after *table, subscribers []*subscriber, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.current.Load()
	if after, err = next(before); err == nil {
		l.current.Store(after)
	}
	return before, after, l.subscribers, err
}

// begin waits for its turn to change the list. A callback that changes the list
// would wait for itself for ever: better that it panics.
func (l *List) begin() {
	if l.writing.TryLock() {
		return
	}
	if l.teller.Load() == goroutine() {
		panic("allowlist: a callback of OnChange changes the list that it is told of; let another goroutine do so after it returned")
	}
	l.writing.Lock()
}

// nobody is no goroutine's number.
const nobody = 0

// goroutine returns the number of the goroutine that calls it, from the first
// line of its stack: "goroutine 18 [running]:".
func goroutine() int64 {
	var line [32]byte
	stack := bytes.TrimPrefix(line[:runtime.Stack(line[:], false)], []byte("goroutine "))
	number := int64(nobody)
	for _, digit := range stack {
		if digit < '0' || digit > '9' {
			break
		}
		number = 10*number + int64(digit-'0')
	}
	return number
}

// OnChange has f called after every change of the list, until cancel is called.
// Calls come one at a time, in the order of the changes, on the goroutine that
// made a change and that waits for f: f shouldn't take long. It may use the list
// and end subscriptions, but must not change the list, nor wait for someone who
// does, nor close it: that panics where it is found out, or else waits for ever.
// A call under way when cancel is called goes on.
//
// To miss nothing, call OnChange first and [List.Members] afterwards.
func (l *List) OnChange(f func(Change)) (cancel func()) {
	s := &subscriber{call: f}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscribers = append(slices.Clone(l.subscribers), s)
	return func() {
		s.cancelled.Store(true)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.subscribers = slices.DeleteFunc(slices.Clone(l.subscribers), func(other *subscriber) bool { return other == s })
	}
}

// subscriber is told of changes.
type subscriber struct {
	call      func(Change)
	cancelled atomic.Bool
}

func difference(before, after *table) Change {
	var c Change
	for id, m := range after.byID {
		was, listed := before.byID[id]
		switch {
		case !listed:
			c.Added = append(c.Added, m.clone())
		case !was.equal(m):
			c.Changed = append(c.Changed, m.clone())
		}
	}
	for id, m := range before.byID {
		if _, listed := after.byID[id]; !listed {
			c.Removed = append(c.Removed, m.clone())
		}
	}
	for _, members := range [][]Member{c.Added, c.Removed, c.Changed} {
		slices.SortFunc(members, compare)
	}
	return c
}
