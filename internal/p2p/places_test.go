package p2p

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

func TestFamiliarPlacesAreForgotten(t *testing.T) {
	g, now := testGate(t)
	staying, leaving := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
	list, err := allowlist.New(allowlist.Member{ID: staying}, allowlist.Member{ID: leaving})
	if err != nil {
		t.Fatal(err)
	}
	g.config.Allow = list
	place := func(i int) netip.Prefix { return placeOf(from(i).Addr()) }
	come := func(i int, id identity.ID) {
		*now = now.Add(time.Second)
		g.places.visit(place(i), id, *now)
	}
	wantFamiliar := func(says string, want bool, is ...int) {
		t.Helper()
		for _, i := range is {
			if g.places.familiar(place(i)) != want {
				t.Errorf("%s: familiar(%d) is %v", says, i, !want)
			}
		}
	}

	for i := range maxVisitedByPeer {
		come(i, staying)
	}
	come(0, staying)
	come(maxVisitedByPeer, staying)
	wantFamiliar("a peer has come from one place too many", true, 0, 2, 3, maxVisitedByPeer)
	wantFamiliar("its first visit", false, 1)

	come(0, leaving)
	come(10, leaving)
	for i := range maxVisitedByPeer {
		come(20+i, staying)
	}
	wantFamiliar("another still comes from it", true, 0)
	wantFamiliar("nobody does", false, 2)

	come(20, leaving)
	list.Remove(leaving)
	g.learn()
	wantFamiliar("only a removed peer came from it", false, 0, 10)
	wantFamiliar("one that stays came from it too", true, 20, 21)

	for i := range maxVisited {
		come(100+i, newKey(t, identity.Ed25519).PeerID())
	}
	wantFamiliar("visits of all beyond the bound", false, 20, 21, 22, 23)
	wantFamiliar("the last ones", true, 100, 99+maxVisited)
	come(5000, staying)
	wantFamiliar("the first of all makes room", false, 100)
	if g.places.known != maxVisited || len(g.places.visited) != maxVisited || len(g.places.visits) != maxVisited {
		t.Errorf("%d visits of %d peers to %d places are remembered", g.places.known, len(g.places.visits), len(g.places.visited))
	}
}

// Whoever answers for a host name can have it stand for anything.
func TestPlacesOfHostNamesAreBounded(t *testing.T) {
	g, _ := testGate(t)
	member := allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"10.9.9.9:4001"}}
	for i := range allowlist.MaxAddresses - 2 {
		name := hostName{"ip", fmt.Sprintf("%d.example.org", i)}
		member.Addresses = append(member.Addresses, name.host+":4001")
		g.names.known[name] = new(nameEntry)
		for j := range maxResolved {
			g.names.known[name].addresses = append(g.names.known[name].addresses, from(i*maxResolved+j).Addr())
		}
	}
	member.Addresses = append(member.Addresses, "10.9.9.8:4001")
	other := allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"10.9.9.7:4001"}}
	list, err := allowlist.New(member, other)
	if err != nil {
		t.Fatal(err)
	}
	g.config.Allow = list
	g.learn()
	if got := len(g.places.named.single); got != maxPlacesOfNames+3 {
		t.Errorf("%d places are familiar", got)
	}
	for _, at := range []string{"10.9.9.9", "10.9.9.8", "10.9.9.7"} {
		if !g.places.familiar(placeOf(netip.MustParseAddr(at))) {
			t.Errorf("%s is an address on the list, and not familiar", at)
		}
	}
}

func TestPlaces(t *testing.T) {
	for address, prefix := range map[string]string{
		"/ip4/10.0.0.7/tcp/4001":                 "10.0.0.7/32",
		"/ip6/2001:db8:1:2:3:4:5:6/tcp/4001":     "2001:db8:1:2::/64",
		"/ip6/::ffff:10.0.0.7/tcp/4001":          "10.0.0.7/32",
		"/dns/parley.example.org/tcp/4001":       "invalid Prefix",
		"/ip6/2001:db8:1:2:ffff:ffff::/tcp/4001": "2001:db8:1:2::/64",
	} {
		m, err := ma.NewMultiaddr(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := placeOf(ipOf(m)).String(); got != prefix {
			t.Errorf("%s counts for %s, want %s", address, got, prefix)
		}
	}
}
