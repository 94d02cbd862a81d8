package p2p

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// zone is a resolver whose answers a test changes.
type zone struct {
	mu      sync.Mutex
	hosts   map[string][]string
	asked   map[string]int
	under   int // look-ups under way
	most    int
	lasting time.Duration // of a look-up
	silent  string        // look-ups of names that begin so end with their time
}

func (z *zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	z.asked[host]++
	z.under++
	z.most = max(z.most, z.under)
	found := slices.Clone(z.hosts[host])
	lasting := z.lasting
	if z.silent != "" && strings.HasPrefix(host, z.silent) {
		lasting = time.Hour
	}
	z.mu.Unlock()
	defer func() { z.mu.Lock(); z.under--; z.mu.Unlock() }()
	select {
	case <-time.After(lasting):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if found == nil {
		return nil, errors.New("no such host")
	}
	var ips []netip.Addr
	for _, ip := range found {
		ips = append(ips, netip.MustParseAddr(ip))
	}
	return ips, nil
}

func (z *zone) lookUps(host string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[host]
}

func (z *zone) set(host string, ips ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hosts[host] = ips
}

// listenNames is a node without a listener that takes connections from listed
// addresses only and looks names up here.
func listenNames(t *testing.T, z *zone, members ...allowlist.Member) *node {
	z.asked = map[string]int{}
	list, err := allowlist.New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return listenWithout(t, func(c *Config) {
		c.Allow, c.Resolver, c.ListedAddressesOnly = list, z, true
		c.Logger = slog.New(slog.DiscardHandler)
	})
}

func (n *node) takes(ip string) bool {
	s := n.gate.enter(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))
	if s != nil {
		n.gate.leave(s)
	}
	return s != nil
}

func TestHostNamesOfTheListAreFamiliarPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"alice.example.org": {"192.0.2.1", "2001:db8::1"}}}
		n := listenNames(t, z, allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"alice.example.org:4001"}})
		wantTaken := func(when string, ips map[string]bool) {
			t.Helper()
			synctest.Wait()
			for ip, in := range ips {
				if n.takes(ip) != in {
					t.Errorf("%s: %s let in: %v", when, ip, !in)
				}
			}
		}
		wantTaken("at the start", map[string]bool{"192.0.2.1": true, "2001:db8::9": true, "192.0.2.2": false})

		z.set("alice.example.org", "192.0.2.2")
		time.Sleep(nameRefresh)
		wantTaken("when the name has changed", map[string]bool{"192.0.2.1": false, "192.0.2.2": true})

		z.mu.Lock()
		z.hosts["alice.example.org"] = nil
		z.mu.Unlock()
		time.Sleep(nameRefresh)
		wantTaken("when it can't be looked up", map[string]bool{"192.0.2.2": true})
		z.set("alice.example.org", "192.0.2.3")
		time.Sleep(nameRetry)
		wantTaken("soon after", map[string]bool{"192.0.2.2": false, "192.0.2.3": true})

		z.set("bob.example.org", "192.0.2.7")
		bob := allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"/dns4/bob.example.org/tcp/4001"}}
		if err := n.list.Add(bob); err != nil {
			t.Fatal(err)
		}
		wantTaken("when the list has changed", map[string]bool{"192.0.2.7": true, "192.0.2.3": true})
		n.list.Remove(bob.ID)
		wantTaken("when it is off the list", map[string]bool{"192.0.2.7": false, "192.0.2.3": true})
	})
}

func TestLookUpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{}, lasting: time.Second}
		var members []allowlist.Member
		for i := range 100 {
			var addresses []string
			for j := range 12 {
				host := string(rune('a'+i%26)) + string(rune('a'+i/26)) + string(rune('a'+j)) + ".example.org"
				z.hosts[host] = []string{"192.0.2.1"}
				addresses = append(addresses, host+":4001")
			}
			members = append(members, allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: addresses})
		}
		n := listenNames(t, z, members...)
		time.Sleep(nameRefresh - time.Second)
		synctest.Wait()
		z.mu.Lock()
		defer z.mu.Unlock()
		if len(z.asked) != maxNames || z.most != maxLookups {
			t.Errorf("%d names were looked up, %d at once", len(z.asked), z.most)
		}
		for host, asked := range z.asked {
			if asked != 1 {
				t.Fatalf("%s was looked up %d times", host, asked)
			}
		}
		if !n.takes("192.0.2.1") {
			t.Error("refused")
		}
	})
}

func TestSilentNamesHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"alice.example.org": {"192.0.2.1"}}, silent: "silent"}
		var members []allowlist.Member
		for range 4 * maxLookups {
			key := newKey(t, identity.Ed25519)
			members = append(members, allowlist.Member{ID: key.PeerID(), Addresses: []string{"silent-" + key.PeerID().String() + ".example.org:4001"}})
		}
		n := listenNames(t, z, members...)
		listed := func(host, ip string) allowlist.Member {
			z.set(host, ip)
			m := allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{host + ":4001"}}
			if err := n.list.Add(m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		// All silent ones are new, and so is alice.
		listed("alice.example.org", "192.0.2.1")
		time.Sleep(4*lookupTimeout + time.Second)
		synctest.Wait()
		if !n.takes("192.0.2.1") {
			t.Error("a new name waits longer than for the new ones before it")
		}
		z.set("alice.example.org", "192.0.2.2")
		for i := range 60 { // whatever is under way just then
			bob := listed("bob.example.org", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
			synctest.Wait()
			if !n.takes(z.hosts["bob.example.org"][0]) {
				t.Errorf("after %d looks a new name isn't looked up at once", i)
			}
			n.list.Remove(bob.ID)
			time.Sleep(7 * time.Second)
		}
		if !n.takes("192.0.2.2") || z.lookUps("alice.example.org") != 3 {
			t.Errorf("a name that answers was looked up %d times in 7 minutes", z.lookUps("alice.example.org"))
		}
	})
}

// What is learned of one name doesn't wait for those that are looked up beside it.
func TestNamesAreLearnedAsTheyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"alice.example.org": {"192.0.2.1"}}, silent: "silent"}
		n := listenNames(t, z,
			allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"silent.example.org:4001"}},
			allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"alice.example.org:4001"}})
		synctest.Wait()
		if !n.takes("192.0.2.1") {
			t.Error("refused")
		}
	})
}

func TestNameThatFailsIsLookedUpLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{}}
		listenNames(t, z, allowlist.Member{ID: newKey(t, identity.Ed25519).PeerID(), Addresses: []string{"alice.example.org:4001"}})
		synctest.Wait()
		lookUps := 1
		for round := range 2 {
			for _, pause := range []time.Duration{15, 30, 60, 120, 180, 180} {
				time.Sleep(pause*time.Second - 1)
				synctest.Wait()
				if got := z.lookUps("alice.example.org"); got != lookUps {
					t.Fatalf("round %d: after less than %d s it was looked up %d times, not %d", round, pause, got, lookUps)
				}
				if pause == 180 {
					z.set("alice.example.org", "192.0.2.1")
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				lookUps++
				if got := z.lookUps("alice.example.org"); got != lookUps {
					t.Fatalf("round %d: after %d s it was looked up %d times, not %d", round, pause, got, lookUps)
				}
			}
			z.mu.Lock()
			z.hosts["alice.example.org"] = nil // and fails anew
			z.mu.Unlock()
			time.Sleep(nameRefresh)
			synctest.Wait()
			lookUps++
		}
	})
}

// Servers give the addresses of a name in turn.
func TestAddressesInAnotherOrderAreNoChange(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	n, entry := newNames(nil, slog.New(slog.DiscardHandler), nil), new(nameEntry)
	for _, test := range []struct {
		found   []netip.Addr
		changed bool
	}{{[]netip.Addr{b, a}, true}, {[]netip.Addr{a, b}, false}, {[]netip.Addr{b, a}, false}, {[]netip.Addr{b}, true}} {
		n.count(entry, 1)
		if changed := n.note(entry, test.found, nil); changed != test.changed {
			t.Errorf("%v: changed %v", test.found, changed)
		}
	}
}

// empty is a resolver that has neither an address nor an error.
type empty struct{}

func (empty) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }

func TestResolverThatFindsNothingIsAnError(t *testing.T) {
	a, bob := newNode(t, func(c *Config) { c.Resolver = empty{} }), newKey(t, identity.Ed25519).PeerID()
	if err := a.list.Add(allowlist.Member{ID: bob}); err != nil {
		t.Fatal(err)
	}
	a.do(fsm.Dial{Peer: fsm.Peer(bob.Bytes()), Addresses: []string{"bob.example.org:4001"}})
	if got := want[fsm.DialFailed](a); !errors.Is(got.Err, errNothingFound) {
		t.Errorf("dial: %v", got.Err)
	}
}

// A name may stand for what its peer isn't pinned to.
func TestNamesAreDialledWithinPins(t *testing.T) {
	z := &zone{hosts: map[string][]string{"bob.example.org": {"192.0.2.1", "127.0.0.1"}}, asked: map[string]int{}}
	a, b := newNode(t, func(c *Config) { c.Resolver = z }), newNode(t)
	member := allowlist.Member{ID: b.key.PeerID(), From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if err := a.list.Add(member); err != nil {
		t.Fatal(err)
	}
	b.admit(a)
	_, port, err := net.SplitHostPort(b.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a.do(fsm.Dial{Peer: b.peer(), Addresses: []string{"bob.example.org:" + port}})
	if got := want[fsm.Connected](a); got.Address != b.Addresses()[0] {
		t.Errorf("connected %+v", got)
	}
	member.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	if err := a.list.Add(member); err != nil { // it isn't there
		t.Fatal(err)
	}
	if got := want[fsm.Disconnected](a); !errors.Is(got.Err, ErrPinned) {
		t.Errorf("disconnected %+v", got)
	}
	a.do(fsm.Dial{Peer: b.peer(), Addresses: []string{"bob.example.org:" + port}})
	if got := want[fsm.DialFailed](a); !errors.Is(got.Err, ErrPinned) {
		t.Errorf("dial: %v", got.Err)
	}
}
