package allowlist

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-p2p/parley/identity"
)

// Change is what became different in a list. Each part is sorted as
// [List.Members] is.
type Change struct {
	Added   []Member
	Removed []Member // as they were
	Changed []Member // as they are: another name or other addresses
}

func (c Change) empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// Add puts a member on the list. Where its ID is on the list already, its name
// and addresses take the place of the earlier ones. An error is a *[FieldError]
// (a name that another member has matches [ErrDuplicate]) or [ErrTooMany], and
// nothing has changed.
func (l *List) Add(m Member) error {
	m, err := m.checked(0)
	if err != nil {
		return err
	}
	return l.update(func(t *table) (*table, error) {
		if holder, taken := t.byName[m.Name]; taken && holder != m.ID {
			return nil, &FieldError{Field: "name", Err: ErrDuplicate}
		}
		members := slices.DeleteFunc(slices.Clone(t.sorted), func(other Member) bool { return other.ID == m.ID })
		return tableOf(append(members, m))
	})
}

// Remove takes a member off the list and reports whether it was on it.
func (l *List) Remove(id identity.ID) (removed bool) {
	// What is left of a right list is right: there is no error.
	_ = l.update(func(t *table) (*table, error) {
		if _, removed = t.byID[id]; !removed {
			return t, nil
		}
		return tableOf(slices.DeleteFunc(slices.Clone(t.sorted), func(m Member) bool { return m.ID == id }))
	})
	return removed
}

// Replace makes these the members, all at once. An error is one that [New]
// gives, and nothing has changed.
func (l *List) Replace(members []Member) error {
	next, err := tableOf(members)
	if err != nil {
		return err
	}
	return l.update(func(*table) (*table, error) { return next, nil })
}

// update replaces the current table and tells of it.
func (l *List) update(next func(*table) (*table, error)) error {
	l.writing.Lock()
	t, err := next(l.current.Load())
	if err == nil {
		l.current.Store(t)
	}
	l.writing.Unlock()
	if err != nil {
		return err
	}
	l.changes.tell(&l.current)
	return nil
}

// OnChange has f called after every change of the list, until cancel is called.
// Calls come one at a time, in the order of the changes, on the goroutine that
// made a change: f may use the list and change it, and shouldn't take long.
// Changes made while f runs are told after it returns, put together into one;
// what was undone meanwhile isn't told. A call under way when cancel is called
// goes on.
//
// To miss nothing, call OnChange first and [List.Members] afterwards.
func (l *List) OnChange(f func(Change)) (cancel func()) {
	return l.changes.subscribe(f, &l.current)
}

// changes tells subscribers how the list differs from what they were told. It
// keeps the last table told rather than a queue of changes, so that it stays
// small however slow a subscriber is.
type changes struct {
	mu          sync.Mutex
	subscribers []*subscriber
	telling     bool // a goroutine is at it
	again       bool // and has to look once more
}

type subscriber struct {
	call      func(Change)
	told      *table
	cancelled bool
}

func (c *changes) subscribe(f func(Change), current *atomic.Pointer[table]) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &subscriber{call: f, told: current.Load()}
	c.subscribers = append(slices.Clone(c.subscribers), s)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.cancelled = true
		c.subscribers = slices.DeleteFunc(slices.Clone(c.subscribers), func(other *subscriber) bool { return other == s })
	}
}

// tell calls the subscribers, unless a goroutine is calling them already: then
// that one goes on when it is done.
func (c *changes) tell(current *atomic.Pointer[table]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.telling {
		c.again = true
		return
	}
	c.telling = true
	defer func() { c.telling = false }()
	for c.again = true; c.again; {
		c.again = false
		now := current.Load()
		for _, s := range c.subscribers { // a copy is made for every subscription
			change := difference(s.told, now)
			s.told = now
			if s.cancelled || change.empty() {
				continue
			}
			c.unlocked(func() { s.call(change) })
		}
	}
}

// unlocked runs f without the lock, and takes it again even if f panics.
func (c *changes) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

func difference(before, after *table) Change {
	var c Change
	if before == after {
		return c
	}
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
