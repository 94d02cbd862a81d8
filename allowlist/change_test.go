package allowlist_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// heard is what callbacks were told, in its order. They may run on the goroutine
// that follows the file.
type heard[T any] struct {
	mu   sync.Mutex
	told []T
}

func (h *heard[T]) note(what T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, what)
}

func (h *heard[T]) all() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told)
}

// watch notes the changes of a list as lines such as "+alice ~bob -carol".
func watch(list *allowlist.List) (lines *heard[string], cancel func()) {
	lines = new(heard[string])
	cancel = list.OnChange(func(c allowlist.Change) {
		var line []string
		for _, part := range []struct {
			sign    string
			members []allowlist.Member
		}{{"+", c.Added}, {"~", c.Changed}, {"-", c.Removed}} {
			for _, m := range part.members {
				line = append(line, part.sign+m.Name)
			}
		}
		lines.note(strings.Join(line, " "))
	})
	return lines, cancel
}

func expect(t *testing.T, heard *heard[string], want ...string) {
	t.Helper()
	if got := heard.all(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestEveryChangeIsTold(t *testing.T) {
	alice, bob, carol := member(t, 1, "alice"), member(t, 2, "bob"), member(t, 3, "carol")
	list := newList(t, alice)
	told, cancel := watch(list)

	if err := list.Add(bob); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob")
	if err := list.Add(bob); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob") // no difference, no word

	bob.Addresses = []string{"10.0.0.8:4001"}
	if err := list.Add(bob); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob", "~bob")

	bob.From, bob.Limits.MaxOpen = pins("10.0.0.0/24"), 5
	if err := list.Add(bob); err != nil {
		t.Fatal(err)
	}
	if list.Limits(bob.ID).MaxOpen != 5 || list.Limits(carol.ID) != (allowlist.Limits{}) {
		t.Error("limits were lost")
	}
	expect(t, told, "+bob", "~bob", "~bob")

	bob.Name = "robert"
	if err := list.Replace([]allowlist.Member{carol, bob}); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob", "~bob", "~bob", "+carol ~robert -alice")

	if list.Remove(alice.ID) {
		t.Error("alice was removed twice")
	}
	if !list.Remove(carol.ID) || list.Admits(carol.ID) {
		t.Error("carol is still there")
	}
	expect(t, told, "+bob", "~bob", "~bob", "+carol ~robert -alice", "-carol")

	cancel()
	cancel()
	if err := list.Add(alice); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob", "~bob", "~bob", "+carol ~robert -alice", "-carol")
}

func TestWrongChangeChangesNothing(t *testing.T) {
	alice, bob := member(t, 1, "alice"), member(t, 2, "bob")
	list := newList(t, alice)
	told, _ := watch(list)
	var field *allowlist.FieldError
	if err := list.Add(member(t, 2, "alice")); !errors.Is(err, allowlist.ErrDuplicate) || !errors.As(err, &field) || field.Field != "name" {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := list.Add(allowlist.Member{}); err == nil {
		t.Error("a member without an ID was added")
	}
	if err := list.Replace([]allowlist.Member{bob, bob}); !errors.Is(err, allowlist.ErrDuplicate) {
		t.Errorf("a member twice: %v", err)
	}
	if !list.Admits(alice.ID) || list.Admits(bob.ID) {
		t.Error("the list has changed")
	}
	expect(t, told)
}

func TestCallbackThatChangesTheListPanics(t *testing.T) {
	alice, bob := member(t, 1, "alice"), member(t, 2, "bob")
	list := newList(t)
	cancel := list.OnChange(func(c allowlist.Change) {
		if !list.Admits(alice.ID) || len(list.Members()) != 1 {
			t.Error("a callback should find the change in the list")
		}
		list.Remove(alice.ID)
	})
	told, _ := watch(list)
	func() {
		defer func() {
			if said := fmt.Sprint(recover()); !strings.Contains(said, "callback of OnChange changes the list") {
				t.Errorf("it said %q", said)
			}
		}()
		_ = list.Add(alice)
		t.Error("it didn't panic")
	}()
	expect(t, told, "+alice") // the others are told all the same
	cancel()
	if err := list.Add(bob); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+alice", "+bob")
}

func TestCallbackMayEndSubscriptions(t *testing.T) {
	list := newList(t)
	told, cancel := watch(list)
	list.OnChange(func(allowlist.Change) { cancel() }) // told after it, or before: the order isn't promised
	for i, name := range []string{"alice", "bob"} {
		if err := list.Add(member(t, int64(i+1), name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := told.all(); len(got) > 1 {
		t.Errorf("told %q after the end", got)
	}
}

func TestListGoesOnAfterACallbackPanicked(t *testing.T) {
	list := newList(t)
	cancel := list.OnChange(func(allowlist.Change) { panic("a bug of the application") })
	func() {
		defer func() { recover() }()
		_ = list.Add(member(t, 1, "alice"))
	}()
	cancel()
	told, _ := watch(list)
	if err := list.Add(member(t, 2, "bob")); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "+bob")
}

// TestAddAndRemoveKeepTheOrder compares lists made step by step with one made at
// once.
func TestAddAndRemoveKeepTheOrder(t *testing.T) {
	list := newList(t)
	for i, name := range []string{"dora", "", "alice", "", "carol", "bob"} {
		if err := list.Add(member(t, int64(i+1), name)); err != nil {
			t.Fatal(err)
		}
	}
	renamed := member(t, 3, "zoe") // who was alice, and another takes that name
	if err := errors.Join(list.Add(renamed), list.Add(member(t, 2, "alice"))); err != nil {
		t.Fatal(err)
	}
	list.Remove(peerID(t, 5))
	want := newList(t, member(t, 1, "dora"), member(t, 2, "alice"), renamed, member(t, 4, ""), member(t, 6, "bob"))
	if difference := cmp.Diff(want.Members(), list.Members(), equal); difference != "" {
		t.Errorf("(-at once +step by step):\n%s", difference)
	}
	if m, err := list.Find("alice"); err != nil || m.ID != peerID(t, 2) {
		t.Errorf("found %v, %v", m, err)
	}
	if m, err := list.Find("carol"); !errors.Is(err, allowlist.ErrUnknown) {
		t.Errorf("found %v, %v", m, err)
	}
}

// TestEveryoneIsToldBeforeAChangeReturns has many goroutines change a list, with
// subscribers who let others go first.
func TestEveryoneIsToldBeforeAChangeReturns(t *testing.T) {
	const sides, rounds = 4, 50
	list := newList(t)
	var gone [2]sync.Map // who each of two subscribers has hung up on
	for i := range gone {
		list.OnChange(func(c allowlist.Change) {
			for range 10 {
				runtime.Gosched()
			}
			for _, m := range c.Added {
				gone[i].Delete(m.ID)
			}
			for _, m := range c.Removed {
				gone[i].Store(m.ID, true)
			}
		})
	}
	var group sync.WaitGroup
	for side := range int64(sides) {
		m := member(t, side+1, fmt.Sprint("peer ", side))
		group.Go(func() {
			for range rounds {
				if err := list.Add(m); err != nil {
					t.Error(err)
				}
				list.Remove(m.ID)
				for i := range gone {
					if _, done := gone[i].Load(m.ID); !done {
						t.Errorf("subscriber %d wasn't told when Remove returned", i)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestChangeSaysWhoMadeItAndWhen(t *testing.T) {
	list := newList(t)
	before := time.Now()
	list.OnChange(func(c allowlist.Change) {
		if c.By != allowlist.ByProgram || c.Time.Before(before) || c.Time.After(time.Now()) {
			t.Errorf("by %q at %v", c.By, c.Time)
		}
		c.Added[0].From[0] = pins("::/0")[0] // of its own: others hear what is true
	})
	list.OnChange(func(c allowlist.Change) {
		if c.Added[0].From[0] != pins("10.0.0.7/32")[0] {
			t.Error("one subscriber changed what another was told")
		}
	})
	if err := list.Add(allowlist.Member{ID: peerID(t, 1), From: pins("10.0.0.7/32")}); err != nil {
		t.Fatal(err)
	}
}

// TestChangesFromAllSidesAddUp has many goroutines change a list at once. What
// a subscriber was told must then add up to what the list holds, without one
// call beside another.
func TestChangesFromAllSidesAddUp(t *testing.T) {
	const sides, rounds = 4, 50
	var members [sides]allowlist.Member
	for i := range members {
		members[i] = member(t, int64(i+1), fmt.Sprint("peer ", i))
	}
	list := newList(t)
	known := map[identity.ID]bool{}
	var one sync.Mutex
	list.OnChange(func(c allowlist.Change) {
		if !one.TryLock() {
			t.Error("two calls at once")
			return
		}
		defer one.Unlock()
		for _, m := range c.Added {
			if known[m.ID] {
				t.Errorf("%v was added twice", m)
			}
			known[m.ID] = true
		}
		for _, m := range c.Removed {
			if !known[m.ID] {
				t.Errorf("%v was removed twice", m)
			}
			delete(known, m.ID)
		}
	})
	var group sync.WaitGroup
	for i, m := range members {
		group.Go(func() {
			for range rounds {
				if err := list.Add(m); err != nil {
					t.Error(err)
				}
				if !list.Admits(m.ID) || !list.Remove(m.ID) {
					t.Error("someone else removed", m)
				}
			}
			if i%2 == 0 {
				if err := list.Add(m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i, m := range members {
		if known[m.ID] != (i%2 == 0) || known[m.ID] != list.Admits(m.ID) {
			t.Errorf("%v: told %v, listed %v", m, known[m.ID], list.Admits(m.ID))
		}
	}
}

func member(t testing.TB, number int64, name string) allowlist.Member {
	t.Helper()
	return allowlist.Member{ID: peerID(t, number), Name: name}
}
