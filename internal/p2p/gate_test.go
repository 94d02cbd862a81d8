package p2p

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

func testGate(t *testing.T) (*gate, *time.Time) {
	t.Helper()
	config, err := Config{Key: newKey(t, identity.Ed25519), Allow: allowlist.Everyone(), Payloads: newMemory()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	g := newGate(config, "", newNotices())
	g.now = func() time.Time { return now }
	return g, &now
}

func TestAPeerIsKeptOutUntilItsTime(t *testing.T) {
	g, now := testGate(t)
	peer := idOf(fsm.Peer(newKey(t, identity.Ed25519).PeerID().Bytes()))
	g.shun(peer, now.Add(time.Minute))
	*now = now.Add(time.Minute - 1)
	if err := g.admit(peer); !errors.Is(err, ErrShunned) {
		t.Fatalf("back before its time: %v", err)
	}
	*now = now.Add(1)
	if err := g.admit(peer); err != nil {
		t.Fatalf("kept out for longer: %v", err)
	}
	g.shun(peer, now.Add(time.Hour))
	g.shun(peer, time.Time{})
	if err := g.admit(peer); err != nil {
		t.Errorf("pardoned and kept out: %v", err)
	}
}

func TestArrivalsFromOnePlaceAreSlowedDown(t *testing.T) {
	g, now := testGate(t)
	here, there := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	for range arrivalBurst {
		if !g.arrives(here) {
			t.Fatal("the burst was refused")
		}
	}
	if g.arrives(here) || !g.arrives(there) {
		t.Error("the rate isn't each place's own")
	}
	*now = now.Add(time.Second)
	for range arrivalRate {
		if !g.arrives(here) {
			t.Error("nothing was granted in a second")
		}
	}
}

func TestFamiliarPlacesAreForgotten(t *testing.T) {
	g, now := testGate(t)
	staying, leaving := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
	list, err := allowlist.New(allowlist.Member{ID: staying}, allowlist.Member{ID: leaving})
	if err != nil {
		t.Fatal(err)
	}
	g.config.Allow = list
	place := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
	}
	come := func(i int, id identity.ID) {
		*now = now.Add(time.Second)
		g.visit(place(i), peer.ID(id.Bytes()))
	}
	familiar := func(i int) bool { return g.visited[place(i)] != visit{} }

	for i := range maxFamiliar {
		come(i, staying)
	}
	come(0, staying)
	come(maxFamiliar, staying)
	if len(g.visited) != maxFamiliar || !familiar(0) || familiar(1) || !familiar(2) || !familiar(maxFamiliar) {
		t.Errorf("of %d places the one visited longest ago isn't the one forgotten", len(g.visited))
	}

	come(5, leaving)
	come(6, leaving)
	come(6, staying)
	list.Remove(leaving)
	g.learn()
	if familiar(5) || !familiar(6) || !familiar(7) {
		t.Error("the places that only a removed peer came from last aren't those forgotten")
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

func TestListenAddresses(t *testing.T) {
	for text, address := range map[string]string{
		":4001":                  "/ip4/0.0.0.0/tcp/4001",
		"10.0.0.7:4001":          "/ip4/10.0.0.7/tcp/4001",
		"[::1]:0":                "/ip6/::1/tcp/0",
		"/ip4/127.0.0.1/tcp/0":   "/ip4/127.0.0.1/tcp/0",
		"/ip6/::/tcp/4001":       "/ip6/::/tcp/4001",
		"example.org:4001":       "",
		"/dns/localhost/tcp/0":   "",
		"/ip4/127.0.0.1/udp/1":   "",
		"/ip4/127.0.0.1":         "",
		"10.0.0.7":               "",
		"10.0.0.7:http":          "",
		"10.0.0.7:70000":         "",
		"/ip4/1.2.3.4/tcp/1/ws":  "",
		"/ip4/300.0.0.1/tcp/400": "",
	} {
		m, err := listenAddress(text)
		switch {
		case err != nil && address != "":
			t.Errorf("%q: %v", text, err)
		case err == nil && m.String() != address:
			t.Errorf("%q is %s, want %q", text, m, address)
		}
	}
}

func TestNoticesArePutTogetherAndBounded(t *testing.T) {
	n := newNotices()
	const peers = 10 * maxNotices
	for i := range peers {
		n.post(fsm.Notice{Kind: fsm.StrangerRefused, Peer: fsm.Peer(rune(i))})
	}
	for range 5 {
		n.post(fsm.Notice{Kind: fsm.Violation, Peer: "a", Detail: "first"})
	}
	n.post(fsm.Notice{Kind: fsm.Violation, Peer: "a", Detail: "last"})
	if len(n.waiting) > maxNotices+2 {
		t.Errorf("%d notices wait", len(n.waiting))
	}
	ctx, cancel := context.WithCancel(t.Context())
	delivered := make(chan struct{})
	go func() { n.deliver(ctx); close(delivered) }()
	strangers, violations := 0, 0
	for strangers+violations < peers+6 {
		select {
		case got := <-n.out:
			if got.Kind == fsm.Violation {
				violations += got.Count
				if got.Detail != "last" {
					t.Errorf("detail %q", got.Detail)
				}
			} else {
				strangers += got.Count
			}
		case <-time.After(patience):
			t.Fatalf("%d and %d counted", strangers, violations)
		}
	}
	cancel()
	<-delivered
	if strangers != peers || violations != 6 {
		t.Errorf("%d and %d counted", strangers, violations)
	}
}
