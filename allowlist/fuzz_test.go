package allowlist_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// ids are those of the members that FuzzEdits takes: making one costs more than an edit.
var ids [6]identity.ID

// FuzzEdits changes a list in any order: adds, removes, replaces. It is what a
// plain table of members would be, a refused edit changes nothing, and whoever
// adds up the changes that are told of has the list as well.
func FuzzEdits(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 0, 2, 2, 0, 1, 1, 0, 0, 2, 7, 3, 1})
	f.Add([]byte{0, 1, 1, 9, 0, 1, 2, 17, 0, 2, 2, 25, 2, 0xff, 0, 3, 2, 0x0f, 1, 40})
	f.Add([]byte{0, 1, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 1, 2, 0, 0, 2, 0, 0, 0})
	for i := range ids {
		ids[i] = peerID(f, int64(1+i))
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		list := newList(t)
		model := map[identity.ID]allowlist.Member{}
		told := map[identity.ID]allowlist.Member{}
		defer list.OnChange(func(c allowlist.Change) { addUp(t, told, c) })()
		for edit := range slices.Chunk(story[:min(len(story), 160)], 4) {
			edit = append(slices.Clone(edit), 0, 0, 0)
			change(t, list, model, edit)
			if difference := cmp.Diff(byID(list.Members()), model, equal); difference != "" {
				t.Fatalf("after %v (-list +model):\n%s", edit, difference)
			}
			if difference := cmp.Diff(told, model, equal); difference != "" {
				t.Fatalf("after %v (-told +model):\n%s", edit, difference)
			}
		}
	})
}

// change makes one edit of both.
func change(t *testing.T, list *allowlist.List, model map[identity.ID]allowlist.Member, edit []byte) {
	switch m := oneOf(edit[1], edit[2], edit[3]); edit[0] % 3 {
	case 0:
		err := list.Add(m)
		if want := refusal(m, model); (err != nil) != want {
			t.Fatalf("adding %+v: %v, want an error: %v", m, err, want)
		} else if err == nil {
			model[m.ID] = m
		}
		checkFieldError(t, err)
	case 1:
		_, listed := model[m.ID]
		if removed := list.Remove(m.ID); removed != listed {
			t.Fatalf("removed: %v, it was listed: %v", removed, listed)
		}
		delete(model, m.ID)
	case 2:
		next, wrong := map[identity.ID]allowlist.Member{}, false
		var members []allowlist.Member
		for i := range byte(6) {
			if edit[1]>>i&1 == 1 {
				m := oneOf(i, edit[2]+i%2, edit[3])
				wrong = wrong || refusal(m, next)
				next[m.ID] = m
				members = append(members, m)
			}
		}
		err := list.Replace(members)
		if (err != nil) != wrong {
			t.Fatalf("replacing by %+v: %v, want an error: %v", members, err, wrong)
		} else if err == nil {
			clear(model)
			maps.Copy(model, next)
		}
		checkFieldError(t, err)
	}
}

// oneOf is one of a few members, some of which are wrong.
func oneOf(who, name, how byte) allowlist.Member {
	m := allowlist.Member{ID: ids[who%6]}
	if name%5 > 0 {
		m.Name = fmt.Sprint("name", name%5)
	}
	if how&1 == 1 {
		m.Addresses = []string{fmt.Sprintf("/ip4/10.0.0.%d/tcp/4001", how)}
	}
	if how&2 == 2 {
		m.From = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, how, 0}), 24)}
	}
	m.Limits.MaxOpen = int(how>>2&7) - 1
	m.Limits.MaxStored = int64(how>>5) << 49
	return m
}

// refusal reports whether a member is wrong, or doesn't go with the others.
func refusal(m allowlist.Member, others map[identity.ID]allowlist.Member) bool {
	if m.Limits.MaxOpen < 0 || m.Limits.MaxStored > allowlist.MaxBytes {
		return true
	}
	for _, other := range others {
		if m.Name != "" && other.Name == m.Name && other.ID != m.ID {
			return true
		}
	}
	return false
}

func checkFieldError(t *testing.T, err error) {
	var wrong *allowlist.FieldError
	if err != nil && !errors.As(err, &wrong) {
		t.Fatalf("an error without a type: %v", err)
	}
}

func addUp(t *testing.T, told map[identity.ID]allowlist.Member, c allowlist.Change) {
	for _, m := range c.Removed {
		if _, known := told[m.ID]; !known {
			t.Fatalf("%v is told as removed, and wasn't there", m.ID)
		}
		delete(told, m.ID)
	}
	for _, m := range c.Added {
		if _, known := told[m.ID]; known {
			t.Fatalf("%v is told as added, and was there", m.ID)
		}
		told[m.ID] = m
	}
	for _, m := range c.Changed {
		if before, known := told[m.ID]; !known || cmp.Equal(before, m, equal) {
			t.Fatalf("%v is told as changed: known %v, from %+v to %+v", m.ID, known, before, m)
		}
		told[m.ID] = m
	}
}

func byID(members []allowlist.Member) map[identity.ID]allowlist.Member {
	all := map[identity.ID]allowlist.Member{}
	for _, m := range members {
		all[m.ID] = m
	}
	return all
}
