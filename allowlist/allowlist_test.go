package allowlist_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// peerID is the ID of the secp256k1 key with this number: the same in every run.
func peerID(t testing.TB, number int64) identity.ID {
	t.Helper()
	key, err := identity.ParseHex(fmt.Sprintf("08021220%064x", number))
	if err != nil {
		t.Fatal(err)
	}
	return key.PeerID()
}

func newList(t testing.TB, members ...allowlist.Member) *allowlist.List {
	t.Helper()
	list, err := allowlist.New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// equal compares members by what they hold.
var equal = cmp.Options{
	cmp.Comparer(func(a, b identity.ID) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestListAdmitsItsMembersAlone(t *testing.T) {
	alice, bob := peerID(t, 1), peerID(t, 2)
	list := newList(t, allowlist.Member{ID: alice, Name: "alice", Addresses: []string{"10.0.0.7:4001", "/ip4/10.0.0.7/tcp/4001"}})
	if !list.Admits(alice) || list.Admits(bob) || list.Admits(identity.ID{}) || list.IsEveryone() {
		t.Error("the list admits the wrong ones")
	}
	if got, want := list.Addresses(alice), []string{"/ip4/10.0.0.7/tcp/4001"}; !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	if got := list.Addresses(bob); got != nil {
		t.Errorf("addresses of a stranger: %v", got)
	}
	if m, listed := list.Member(alice); !listed || m.String() != "alice" {
		t.Errorf("member %v, %v", m, listed)
	}
	if m, listed := list.Member(bob); listed {
		t.Errorf("a stranger is a member: %v", m)
	}
}

func TestEmptyListAdmitsNobody(t *testing.T) {
	if newList(t).Admits(peerID(t, 1)) {
		t.Error("it admits someone")
	}
}

func TestEveryoneAdmitsAllAndKnowsAddresses(t *testing.T) {
	alice := peerID(t, 1)
	list := allowlist.Everyone()
	if !list.IsEveryone() || !list.Admits(alice) || list.Admits(identity.ID{}) {
		t.Error("it should admit all but the zero ID")
	}
	if err := list.Add(allowlist.Member{ID: alice, Addresses: []string{"10.0.0.7:4001"}}); err != nil {
		t.Fatal(err)
	}
	if len(list.Addresses(alice)) != 1 || !list.Remove(alice) || !list.Admits(alice) {
		t.Error("members of it should come and go, and be admitted all the same")
	}
	if err := list.Save(t.TempDir() + "/allow.toml"); !errors.Is(err, allowlist.ErrEveryone) {
		t.Errorf("saving it: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	alice, bob := peerID(t, 1), peerID(t, 2)
	many := make([]string, allowlist.MaxAddresses+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.0.7:%d", 4001+i)
	}
	for _, test := range []struct {
		name    string
		members []allowlist.Member
		want    allowlist.FieldError
		is      error
		says    string
	}{
		{"a member without an ID", []allowlist.Member{{ID: alice}, {Name: "bob"}}, allowlist.FieldError{Member: 1, Field: "id"}, nil, "needs its peer ID"},
		{"an ID twice", []allowlist.Member{{ID: bob}, {ID: alice}, {ID: alice, Name: "a"}}, allowlist.FieldError{Member: 2, Field: "id", Earlier: 1}, allowlist.ErrDuplicate, "member 3"},
		{"a name twice", []allowlist.Member{{ID: alice, Name: "a"}, {ID: bob, Name: "a"}}, allowlist.FieldError{Member: 1, Field: "name"}, allowlist.ErrDuplicate, "already"},
		{"a name that is too long", []allowlist.Member{{ID: alice, Name: strings.Repeat("a", allowlist.MaxName+1)}}, allowlist.FieldError{Field: "name"}, nil, "64"},
		{"a name that isn't UTF-8", []allowlist.Member{{ID: alice, Name: "a\xff"}}, allowlist.FieldError{Field: "name"}, nil, "UTF-8"},
		{"a name that commands the terminal", []allowlist.Member{{ID: alice, Name: "a\x1b[31m"}}, allowlist.FieldError{Field: "name"}, nil, "printed"},
		{"a name with a space at its end", []allowlist.Member{{ID: alice, Name: "a "}}, allowlist.FieldError{Field: "name"}, nil, "space"},
		{"a name that is another's ID", []allowlist.Member{{ID: alice, Name: bob.String()}}, allowlist.FieldError{Field: "name"}, nil, "peer ID"},
		{"a wrong address", []allowlist.Member{{ID: alice, Addresses: []string{"a:1", "b"}}}, allowlist.FieldError{Field: "addresses", Item: 1}, allowlist.ErrAddress, "address 2"},
		{"another's address", []allowlist.Member{{ID: alice, Addresses: []string{"/dns/a/tcp/1/p2p/" + bob.String()}}}, allowlist.FieldError{Field: "addresses"}, allowlist.ErrAddress, "another peer"},
		{"an address to listen on", []allowlist.Member{{ID: alice, Addresses: []string{"[::]:4001"}}}, allowlist.FieldError{Field: "addresses"}, allowlist.ErrAddress, "not dial"},
		{"too many pins", []allowlist.Member{{ID: alice, From: make([]netip.Prefix, allowlist.MaxPins+1)}}, allowlist.FieldError{Field: "from"}, nil, "at most 16"},
		{"a pin to nowhere", []allowlist.Member{{ID: alice, From: make([]netip.Prefix, 1)}}, allowlist.FieldError{Field: "from"}, allowlist.ErrPin, "pin 1"},
		{"a pin with bits behind it", []allowlist.Member{{ID: alice, From: pins("10.0.0.0/8", "10.0.0.7/8")}}, allowlist.FieldError{Field: "from", Item: 1}, allowlist.ErrPin, "10.0.0.0/8"},
		{"a negative limit", []allowlist.Member{{ID: alice, Limits: allowlist.Limits{MaxStreams: -1}}}, allowlist.FieldError{Field: "limits.streams"}, nil, "from 1"},
		{"a limit that bounds nothing", []allowlist.Member{{ID: alice, Limits: allowlist.Limits{BytesPerSecond: allowlist.MaxBytes + 1}}}, allowlist.FieldError{Field: "limits.bytes_per_second"}, nil, "from 1"},
		{"too many addresses", []allowlist.Member{{ID: alice, Addresses: many}}, allowlist.FieldError{Field: "addresses"}, nil, "at most 16"},
	} {
		_, err := allowlist.New(test.members...)
		var got *allowlist.FieldError
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v", test.name, err)
			continue
		}
		test.want.Err = got.Err
		if *got != test.want || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %+v: %v", test.name, *got, err)
		}
	}
	if _, err := allowlist.New(make([]allowlist.Member, allowlist.MaxMembers+1)...); !errors.Is(err, allowlist.ErrTooMany) {
		t.Errorf("too many members: %v", err)
	}
}

func TestMembersAreSortedByName(t *testing.T) {
	var members []allowlist.Member
	for i, name := range []string{"", "carol", "alice", "", "bob"} {
		members = append(members, allowlist.Member{ID: peerID(t, int64(i+1)), Name: name})
	}
	got := newList(t, members...).Members()
	want := []allowlist.Member{members[2], members[4], members[1], members[0], members[3]}
	slices.SortFunc(want[3:], func(a, b allowlist.Member) int { return a.ID.Compare(b.ID) })
	if difference := cmp.Diff(want, got, equal); difference != "" {
		t.Errorf("in another order (-want +got):\n%s", difference)
	}
}

func TestWhatAListGivesAwayIsACopy(t *testing.T) {
	alice := peerID(t, 1)
	mine, places := []string{"10.0.0.7:4001"}, pins("10.0.0.7/32")
	list := newList(t, allowlist.Member{ID: alice, Name: "alice", Addresses: mine, From: places})
	mine[0], places[0] = "mine", pins("10.0.0.8/32")[0]
	list.Members()[0].From[0] = places[0]
	list.Addresses(alice)[0] = "changed"
	list.Members()[0].Addresses[0] = "changed"
	member, _ := list.Member(alice)
	member.Addresses[0] = "changed"
	found, err := list.Find("alice")
	if err != nil {
		t.Fatal(err)
	}
	found.Addresses[0] = "changed"
	if got := list.Addresses(alice)[0]; got != "/ip4/10.0.0.7/tcp/4001" {
		t.Errorf("the list was changed from outside: %s", got)
	}
	if got := list.Members()[0].From; !slices.Equal(got, pins("10.0.0.7/32")) {
		t.Errorf("the list was changed from outside: %v", got)
	}
}

func TestFindByNameOrBeginningOfID(t *testing.T) {
	alice, bob := peerID(t, 1), peerID(t, 2)
	list := newList(t, allowlist.Member{ID: alice, Name: "alice"}, allowlist.Member{ID: bob})
	both := 0
	for alice.String()[both] == bob.String()[both] {
		both++
	}
	for _, text := range []string{"alice", alice.String(), alice.String()[:both+1]} {
		if m, err := list.Find(text); err != nil || m.ID != alice {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
	if _, err := list.Find(alice.String()[:both]); !errors.Is(err, allowlist.ErrAmbiguous) || !strings.Contains(err.Error(), bob.String()) {
		t.Errorf("the beginning of both: %v", err)
	}
	for _, text := range []string{"", "carol", "ali", peerID(t, 3).String()} {
		if m, err := list.Find(text); !errors.Is(err, allowlist.ErrUnknown) {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
	if err := list.Add(allowlist.Member{ID: bob, Name: alice.String()[:both+1]}); err != nil {
		t.Fatal(err)
	}
	if m, err := list.Find(alice.String()[:both+1]); err != nil || m.ID != bob {
		t.Errorf("a name goes before an ID: %v, %v", m, err)
	}
}

func TestQuestionsAllocateNothing(t *testing.T) {
	alice := peerID(t, 1)
	list := newList(t, allowlist.Member{ID: alice, From: pins("10.0.0.0/8"), Limits: allowlist.Limits{MaxOpen: 5}})
	ip := netip.MustParseAddr("::ffff:10.0.0.7")
	for name, question := range map[string]func() bool{
		"Admits":     func() bool { return list.Admits(alice) },
		"AdmitsFrom": func() bool { return list.AdmitsFrom(alice, ip) },
		"Limits":     func() bool { return list.Limits(alice).MaxOpen == 5 },
	} {
		if got := testing.AllocsPerRun(100, func() {
			if !question() {
				t.Error(name, "is wrong")
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkAdmits(b *testing.B) {
	var members []allowlist.Member
	for i := range int64(100) {
		members = append(members, allowlist.Member{ID: peerID(b, i+1)})
	}
	list := newList(b, members...)
	b.ReportAllocs()
	for b.Loop() {
		list.Admits(members[7].ID)
	}
}
