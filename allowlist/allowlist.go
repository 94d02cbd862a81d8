// Package allowlist says who may connect: the peers whose frames are read, where
// they are dialled, from where they may come, and how much each may do.
//
// A [List] is made in the program with [New], read from a file once with [Load],
// or from a file that it then follows with [Follow]:
//
//	[[peer]]
//	id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
//	name = "alice"
//	addresses = ["/ip4/10.0.0.7/tcp/4001", "alice.example.org:4001"]
//	from = ["10.0.0.7", "2001:db8::/48"]
//
//	[peer.limits]
//	exchanges_per_second = 10      # new requests
//	bytes_per_second = 1_048_576   # payloads of its requests
//	frames_per_second = 1_000      # frames of any kind
//	open = 100                     # its requests stored here and not ended
//	stored = 67_108_864            # bytes of them, and apart from these of its replies
//	streams = 50                   # open at once, on all its connections
//
// Only id is required. A peer without addresses can't be dialled, but may dial.
// One without from, its pins, may come from anywhere. A limit that isn't there
// is the node's default. A file is read strictly: what isn't understood is
// refused, with its line, since a key that is silently passed over could be the
// one that shuts somebody out.
//
// # Changes
//
// A list changes while it is in use: [List.Add], [List.Remove] and [List.Replace]
// take effect with the next [List.Admits]. They return when all subscribers of
// [List.OnChange] have been told: when Remove returns, the peer is gone. So a
// callback must not change the list that it is told of.
//
// # A file that is followed
//
// The directory of the file is watched rather than the file, since editors
// rename a new file over the old one, and Kubernetes swaps a link. Once nothing
// has happened there for 100 ms (or things have happened for a whole second) the
// file is read. It is also looked at every 30 s, since some file systems don't
// tell of changes; then that is how long a change may take. [List.OnTrouble]
// tells of a directory that can't be watched.
//
//   - A file that is wrong, can't be read or is gone changes nothing: the list
//     stays as it was, and OnTrouble says what to mend, and in which line. The
//     next good edit is taken over.
//   - A file without a single peer is a legal list, which admits nobody. But it is
//     also what is there while someone truncates a file and writes it again. So it
//     takes the peers off a list that has some only when it has been so for 2 s.
//     Any other half of a file that happens to be a whole list is taken for one
//     if its writer pauses for 100 ms: best write another file and rename it, as
//     [List.Save] and most editors do.
//   - Changes that the program makes hold until the content of the file changes,
//     whatever that change is: then the list is what the file says, all of it.
//     Save to the path that is followed makes them lasting, and isn't taken for
//     an edit; an edit of the same moment that wasn't read yet is overwritten.
//
// After [List.Close] the list stays as it is and follows no more.
package allowlist

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/parley-p2p/parley/identity"
)

// List says who may connect. All methods may be called by many goroutines at
// once; those that change the list not out of a callback of OnChange.
type List struct {
	everyone bool
	// current is never modified once it is here. Admits is asked for every frame
	// and reads it without a lock.
	current atomic.Pointer[table]
	writing sync.Mutex   // held while a change is made and told
	teller  atomic.Int64 // the goroutine that tells of a change, or nobody

	mu          sync.Mutex    // held, for a moment, to replace current; guards what follows
	subscribers []*subscriber // replaced, never modified; a few for each handler, and what the application adds

	follower *follower // nil: the list follows no file
	troubles troubles
}

// table is one state of a list. It doesn't change.
type table struct {
	byID   map[identity.ID]Member // at most MaxMembers
	byName map[string]identity.ID // likewise, for each member that has one
	sorted []Member               // by name, those without one last and by ID; at most MaxMembers
}

// New makes a list of these members. Where one of them is wrong, the error is a
// *[FieldError].
func New(members ...Member) (*List, error) {
	first, err := tableOf(members)
	if err != nil {
		return nil, err
	}
	l := &List{}
	l.current.Store(first)
	return l, nil
}

// Everyone makes a list that admits every peer, for experiments on a network of
// one's own. Members can be added to it for their names and addresses; it
// admits everyone all the same. A node remembers up to 10,000 peers that came, since
// what was exchanged with them must not come twice; further ones are sent away.
func Everyone() *List {
	l := &List{everyone: true}
	l.current.Store(&table{byID: map[identity.ID]Member{}, byName: map[string]identity.ID{}})
	return l
}

// tableOf checks members and sorts them.
func tableOf(members []Member) (*table, error) {
	if len(members) > MaxMembers {
		return nil, ErrTooMany
	}
	t := &table{byID: make(map[identity.ID]Member, len(members)), byName: make(map[string]identity.ID)}
	indexOf := make(map[identity.ID]int, len(members))
	for i, m := range members {
		m, err := m.checked(i)
		if err != nil {
			return nil, err
		}
		if earlier, taken := indexOf[m.ID]; taken {
			return nil, &FieldError{Member: i, Field: "id", Earlier: earlier, Err: ErrDuplicate}
		}
		indexOf[m.ID] = i
		if holder, taken := t.byName[m.Name]; taken && m.Name != "" {
			return nil, &FieldError{Member: i, Field: "name", Earlier: indexOf[holder], Err: ErrDuplicate}
		}
		t.byID[m.ID], t.byName[m.Name] = m, m.ID
	}
	delete(t.byName, "")
	t.sorted = slices.SortedFunc(maps.Values(t.byID), compare)
	return t, nil
}

// without is the table with one member less. Of the others nothing is checked
// again: that would take a long list a good part of a second.
func (t *table) without(id identity.ID) *table {
	next := &table{byID: maps.Clone(t.byID), byName: maps.Clone(t.byName)}
	next.sorted = slices.DeleteFunc(slices.Clone(t.sorted), func(m Member) bool { return m.ID == id })
	delete(next.byName, t.byID[id].Name)
	delete(next.byID, id)
	return next
}

// with is the table with a member that was checked, whose name is free, in the
// place of the one with its ID, if there is one.
func (t *table) with(m Member) *table {
	next := t.without(m.ID)
	next.byID[m.ID] = m
	if m.Name != "" {
		next.byName[m.Name] = m.ID
	}
	at, _ := slices.BinarySearchFunc(next.sorted, m, compare)
	next.sorted = slices.Insert(next.sorted, at, m)
	return next
}

// compare orders members for a reader.
func compare(a, b Member) int {
	switch {
	case a.Name == b.Name:
		return a.ID.Compare(b.ID)
	case a.Name == "":
		return 1
	case b.Name == "":
		return -1
	}
	return strings.Compare(a.Name, b.Name)
}

// Admits reports whether a peer may connect. It takes no lock and allocates
// nothing. Nobody with the zero ID is ever admitted.
func (l *List) Admits(id identity.ID) bool {
	if l.everyone {
		return !id.IsZero()
	}
	_, listed := l.current.Load().byID[id]
	return listed
}

// IsEveryone reports whether the list was made by [Everyone].
func (l *List) IsEveryone() bool { return l.everyone }

// Addresses returns where to dial a member, as multiaddrs; nil where the list
// knows no address of it.
func (l *List) Addresses(id identity.ID) []string {
	return slices.Clone(l.current.Load().byID[id].Addresses)
}

// AdmitsFrom reports whether a peer may be at this IP address: whether its pins,
// if it has some, hold the address. It is asked besides [List.Admits], about
// whoever comes in and before somebody is dialled. An IPv4 address in an IPv6
// one counts as the former; a zone doesn't matter. It takes no lock and
// allocates nothing.
func (l *List) AdmitsFrom(id identity.ID, ip netip.Addr) bool {
	return pinned(l.current.Load().byID[id].From, ip)
}

// Limits returns the limits of a member's own; of a stranger, or where it has
// none, they are zero. It takes no lock and allocates nothing.
func (l *List) Limits(id identity.ID) Limits { return l.current.Load().byID[id].Limits }

// Member returns the member with this ID.
func (l *List) Member(id identity.ID) (Member, bool) {
	m, listed := l.current.Load().byID[id]
	return m.clone(), listed
}

// Find returns the member with this name, or the one whose ID begins with this
// text; a peer ID in any form of [identity.ParseID] will do as well. A name goes
// before an ID. Otherwise the error matches [ErrUnknown] or [ErrAmbiguous].
func (l *List) Find(nameOrPrefix string) (Member, error) {
	return l.current.Load().find(nameOrPrefix)
}

// Members returns the members in the order of their names; those without a name
// come last, in the order of their IDs.
func (l *List) Members() []Member {
	members := slices.Clone(l.current.Load().sorted)
	for i := range members {
		members[i] = members[i].clone()
	}
	return members
}
