package p2p

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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
	id := idOf(fsm.Peer(newKey(t, identity.Ed25519).PeerID().Bytes()))
	g.shun(id, now.Add(time.Minute))
	*now = now.Add(time.Minute - 1)
	if err := g.admit(id); !errors.Is(err, ErrShunned) {
		t.Fatalf("back before its time: %v", err)
	}
	*now = now.Add(1)
	if err := g.admit(id); err != nil {
		t.Fatalf("kept out for longer: %v", err)
	}
	g.shun(id, now.Add(time.Hour))
	g.shun(id, time.Time{})
	if err := g.admit(id); err != nil {
		t.Errorf("pardoned and kept out: %v", err)
	}
}

func TestWhoIsKeptOutIsBounded(t *testing.T) {
	g, now := testGate(t)
	kept := func(id string) bool { return errors.Is(g.admit(peer.ID(id)), ErrShunned) }
	ids := make([]string, maxShunned+2)
	for i := range ids {
		ids[i] = string(idOf(fsm.Peer(newKey(t, identity.Ed25519).PeerID().Bytes())))
		g.shun(peer.ID(ids[i]), now.Add(time.Hour+time.Duration(i)))
	}
	if len(g.shunned) != maxShunned || kept(ids[0]) || kept(ids[1]) || !kept(ids[2]) {
		t.Errorf("of %d the one whose time is up first isn't the one let in", len(g.shunned))
	}
	g.shunProvisionally(peer.ID(ids[0]))
	if len(g.shunned) != maxShunned || !kept(ids[0]) || kept(ids[2]) || !kept(ids[3]) {
		t.Errorf("provisionally one more is kept out, and %d are", len(g.shunned))
	}
	*now = now.Add(provisionalShun)
	g.shunProvisionally(peer.ID(ids[1]))
	if len(g.shunned) != maxShunned || kept(ids[0]) || !kept(ids[3]) {
		t.Errorf("one whose time is up doesn't make room: %d are kept out", len(g.shunned))
	}
}

// from is an address of a place of its own.
func from(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 4001)
}

// comes has a socket come from an address, fails unless it is let in, and ends it.
func (g *gate) comes(t *testing.T, at netip.AddrPort) {
	t.Helper()
	s := g.enter(at)
	if s == nil {
		t.Fatalf("refused %v", at)
	}
	g.leave(s)
}

// wantRefused has a socket come that isn't let in, for a reason that names this.
func (g *gate) wantRefused(t *testing.T, at netip.AddrPort, reason string) {
	t.Helper()
	if g.enter(at) != nil {
		t.Fatalf("let %v in, want a refusal: %s", at, reason)
	}
	p := &Protocol{gate: g}
	got := p.Refusals()[0]
	if got.Layer != LayerAddress || got.Address != addressOf(at) || !strings.Contains(got.Reason.Error(), reason) {
		t.Fatalf("refused as %+v, want %s", got, reason)
	}
}

func TestArrivalsFromOnePlaceAreSlowedDown(t *testing.T) {
	g, now := testGate(t)
	here, there := from(1), from(2)
	for range arrivalBurst {
		g.comes(t, here)
	}
	g.wantRefused(t, here, "MaxArrivalsPerSecondPerIP: 5")
	g.comes(t, there)
	*now = now.Add(time.Second)
	for range g.config.MaxArrivalsPerSecondPerIP {
		g.comes(t, here)
	}
	g.wantRefused(t, here, "MaxArrivalsPerSecondPerIP")
}

func TestFamiliarPlacesMayComeMoreOften(t *testing.T) {
	g, now := testGate(t)
	here, id := from(1), newKey(t, identity.Ed25519).PeerID()
	g.places.visit(placeOf(here.Addr()), id, *now)
	for range familiarArrivals * arrivalBurst {
		s := g.enter(here)
		if s == nil {
			t.Fatal("refused")
		}
		if _, err := g.secure(s, idOf(fsm.Peer(id.Bytes()))); err != nil {
			t.Fatal(err)
		}
		g.leave(s)
	}
	g.wantRefused(t, here, "MaxArrivalsPerSecondPerIP")

	there := from(2)
	g.places.visit(placeOf(there.Addr()), id, *now)
	for range familiarArrivals * arrivalBurst / failedArrival {
		g.comes(t, there)
	}
	g.wantRefused(t, there, "MaxArrivalsPerSecondPerIP")
}

func TestHandshakesOfUnfamiliarPlacesTogetherAreSlowedDown(t *testing.T) {
	g, now := testGate(t)
	known := from(1 << 20)
	g.places.visit(placeOf(known.Addr()), newKey(t, identity.Ed25519).PeerID(), *now)
	for i := range 2 * g.config.MaxHandshakesPerSecond {
		g.comes(t, from(i))
	}
	g.wantRefused(t, from(1<<10), "MaxHandshakesPerSecond: 100")
	g.comes(t, known)
	*now = now.Add(time.Second)
	for i := range g.config.MaxHandshakesPerSecond {
		g.comes(t, from(i))
	}
	g.wantRefused(t, from(1<<10), "MaxHandshakesPerSecond")
}

func TestEachFamiliarPlaceHasSlotsOfItsOwn(t *testing.T) {
	g, now := testGate(t)
	g.config.MaxPendingHandshakes = 3
	one, other := from(1), from(2)
	for _, at := range []netip.AddrPort{one, other} {
		g.places.visit(placeOf(at.Addr()), newKey(t, identity.Ed25519).PeerID(), *now)
	}
	var held []*socket
	hold := func(at netip.AddrPort) {
		t.Helper()
		s := g.enter(at)
		if s == nil {
			t.Fatalf("refused %v", at)
		}
		held = append(held, s)
	}
	for range g.config.ReservedHandshakes + g.config.MaxPendingHandshakes {
		hold(one)
	}
	g.wantRefused(t, one, "MaxPendingHandshakes")
	g.wantRefused(t, from(3), "MaxPendingHandshakes")
	hold(other)
	for _, s := range held {
		g.leave(s)
	}
	if g.accepted != 0 || g.handshakes != 0 || len(g.sockets)+len(g.byPlace)+len(g.slots) != 0 {
		t.Errorf("all are gone, and counted: %+v", g)
	}
}

func TestOnlyListedAddresses(t *testing.T) {
	g, _ := testGate(t)
	g.config.ListedAddressesOnly = true
	list, err := allowlist.New(
		allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"10.0.0.1:4001", "[2001:db8::1]:4001"}},
		allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), From: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:7::/48")}})
	if err != nil {
		t.Fatal(err)
	}
	g.config.Allow = list
	g.learn()
	for at, in := range map[string]bool{
		"10.0.0.1:1": true, "10.0.0.2:1": false, "192.0.2.7:1": true, "192.0.2.8:1": false,
		"198.51.100.99:1": true, "198.51.101.1:1": false, "[2001:db8::ffff]:1": true, "[2001:db8:0:1::1]:1": false,
		"[2001:db8:7:8::9]:1": true, "[2001:db8:8::9]:1": false,
	} {
		if in {
			g.comes(t, netip.MustParseAddrPort(at))
		} else {
			g.wantRefused(t, netip.MustParseAddrPort(at), "ListedAddressesOnly")
		}
	}
	wide, narrow := placeOf(netip.MustParseAddr("198.51.100.99")), placeOf(netip.MustParseAddr("192.0.2.7"))
	if g.places.familiar(wide) || !g.places.familiar(narrow) {
		t.Error("a pin to many places makes each of them familiar, or a pin to one doesn't")
	}
}

// Whoever knocks may do so as fast as it likes.
func TestRefusalByAddressAllocatesNothing(t *testing.T) {
	for name, change := range map[string]func(*gate){
		"of a place that isn't listed": func(g *gate) { g.config.ListedAddressesOnly = true },
		"of one that comes too often":  func(g *gate) { g.strangers.rate, g.strangers.burst = 0, 0 },
		"of too many in all":           func(g *gate) { g.config.MaxConnections = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := testGate(t)
			change(g)
			at := from(1)
			if got := testing.AllocsPerRun(1000, func() { g.enter(at) }); got != 0 {
				t.Errorf("%v allocations", got)
			}
			p := &Protocol{gate: g}
			if got := p.Refusals(); len(got) != 1 || got[0].Count != 1001 || got[0].Address != "/ip4/10.0.0.1/tcp/4001" {
				t.Errorf("refusals: %+v", got)
			}
		})
	}
}

func TestRefusalsByAddressAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(t)
		g.now = time.Now
		g.config.MaxConnections = 0
		told := func() (counts []int) {
			for notice, ok := g.notices.take(); ok; notice, ok = g.notices.take() {
				if notice.Kind != fsm.ConnectionLimit || notice.Address != "/ip4/10.0.0.1/tcp/4001" || !strings.Contains(notice.Detail, "MaxConnections: ") {
					t.Errorf("noticed %+v", notice)
				}
				counts = append(counts, notice.Count)
			}
			return counts
		}
		for range 100 {
			g.enter(from(1))
		}
		if got := told(); !slices.Equal(got, []int{1}) {
			t.Errorf("told %v, want the first", got)
		}
		time.Sleep(noticeInterval)
		synctest.Wait()
		if got := told(); !slices.Equal(got, []int{99}) {
			t.Errorf("told %v, want the rest", got)
		}
		time.Sleep(2 * noticeInterval)
		synctest.Wait()
		g.enter(from(1))
		if got := told(); !slices.Equal(got, []int{1}) {
			t.Errorf("told %v, want the first of a new episode", got)
		}
		time.Sleep(2 * noticeInterval) // no timer stays behind
	})
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
