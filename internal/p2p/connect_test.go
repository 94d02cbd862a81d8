package p2p

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// deadAddress is one at which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDialTriesAddressesInTurn(t *testing.T) {
	a, b, stranger := newNode(t), newNode(t), newNode(t)
	a.admit(b)
	b.admit(a)
	a.do(fsm.Dial{Peer: b.peer(), Addresses: []string{
		deadAddress(t), "no address", stranger.Addresses()[0], b.Addresses()[0],
	}})
	if got := want[fsm.Connected](a); got.Peer != b.peer() || got.Address != b.Addresses()[0] {
		t.Fatalf("connected %+v", got)
	}
	a.wantNotice(fsm.IdentityMismatch)
}

func TestDialOfManySilentAddressesEndsAfterAWhile(t *testing.T) {
	const timeout = 250 * time.Millisecond
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a, b := newNode(t, func(c *Config) { c.DialTimeout = timeout }), newNode(t)
	a.admit(b)
	addresses := make([]string, maxAddresses)
	for i := range addresses {
		addresses[i] = silent.Addr().String()
	}
	began := time.Now()
	a.do(fsm.Dial{Peer: b.peer(), Addresses: addresses})
	failed := want[fsm.DialFailed](a)
	if took, unbounded := time.Since(began), maxAddresses*timeout; took >= unbounded {
		t.Errorf("the dial took %v, as long as if each address had its %v", took, timeout)
	}
	if got := strings.Count(failed.Err.Error(), fmt.Sprintf("/tcp/%d:", silent.Addr().(*net.TCPAddr).Port)); got < maxAddresses {
		t.Errorf("%d addresses were tried, want %d: %v", got, maxAddresses, failed.Err)
	}
}

func TestDialLooksUpNames(t *testing.T) {
	a, b := pair(t)
	_, port, err := net.SplitHostPort(b.listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"localhost:" + port, "/dns4/localhost/tcp/" + port, "/dns/localhost/tcp/" + port} {
		a.do(fsm.Dial{Peer: b.peer(), Addresses: []string{address}})
		if got := want[fsm.Connected](a); got.Address != b.Addresses()[0] {
			t.Fatalf("%s: connected %+v", address, got)
		}
		want[fsm.Connected](b)
	}
}

func TestDialFails(t *testing.T) {
	a, b := newNode(t), newNode(t)
	absent := newKey(t, identity.Secp256k1).PeerID()
	if err := a.list.Add(allowlist.Member{ID: absent}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dial fsm.Dial
		err  error
	}{
		"without an address":          {fsm.Dial{Peer: fsm.Peer(absent.Bytes())}, ErrNoAddress},
		"to a peer that isn't listed": {fsm.Dial{Peer: b.peer(), Addresses: b.Addresses()}, fsm.ErrNotListed},
		"to itself":                   {fsm.Dial{Peer: a.peer(), Addresses: a.Addresses()}, ErrSelf},
		"to no peer ID at all":        {fsm.Dial{Peer: "nobody"}, identity.ErrInvalidID},
		"to somebody else's address":  {fsm.Dial{Peer: fsm.Peer(absent.Bytes()), Addresses: b.Addresses()}, ErrIdentityMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			a.do(test.dial)
			if got := want[fsm.DialFailed](a); got.Peer != test.dial.Peer || !errors.Is(got.Err, test.err) {
				t.Errorf("got %v, want %v", got.Err, test.err)
			}
		})
	}
	if got := a.wantNotice(fsm.IdentityMismatch); got.Peer != fsm.Peer(absent.Bytes()) || got.Address != b.Addresses()[0] {
		t.Errorf("noticed %+v", got)
	}
	b.quiet() // no connection of any of these was ever one to b
}

// wantRefusal waits until a connection that was dialled is refused by the other
// side: it may show as connected for a moment.
func (n *node) wantRefusal() {
	n.t.Helper()
	for {
		switch got := n.next().(type) {
		case fsm.Connected:
		case fsm.DialFailed, fsm.Disconnected:
			return
		default:
			n.t.Fatalf("got %T %+v", got, got)
		}
	}
}

func TestStrangerIsRefused(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	a.do(fsm.Dial{Peer: b.peer()})
	a.wantRefusal()
	if got := b.wantNotice(fsm.StrangerRefused); got.Peer != a.peer() || got.Address == "" || got.Count != 1 {
		t.Errorf("noticed %+v", got)
	}
	b.quiet()
}

func TestRemovedPeerIsDisconnectedAtOnce(t *testing.T) {
	a, b := pair(t)
	ac, _ := connect(a, b)
	a.list.Remove(b.key.PeerID())
	if got := want[fsm.Disconnected](a); got.Conn != ac || !errors.Is(got.Err, fsm.ErrNotListed) {
		t.Fatalf("disconnected %+v", got)
	}
	want[fsm.Disconnected](b)
}

func TestConnectionLimits(t *testing.T) {
	t.Run("of a peer", func(t *testing.T) {
		a, b := newNode(t), newNode(t, func(c *Config) { c.MaxConnectionsPerPeer = 1 })
		a.admit(b)
		b.admit(a)
		ac, _ := connect(a, b)
		a.do(fsm.Dial{Peer: b.peer()})
		a.wantRefusal()
		if got := b.wantNotice(fsm.ConnectionLimit); got.Peer != a.peer() || !strings.Contains(got.Detail, "MaxConnectionsPerPeer") {
			t.Errorf("noticed %+v", got)
		}
		a.do(fsm.Disconnect{Conn: ac, Graceful: true})
		want[fsm.Disconnected](a)
		want[fsm.Disconnected](b)
		connect(a, b) // there is room again
	})
	t.Run("of this node's dials", func(t *testing.T) {
		a, b := newNode(t, func(c *Config) { c.MaxConnectionsPerPeer = 1 }), newNode(t)
		a.admit(b)
		b.admit(a)
		connect(a, b)
		a.do(fsm.Dial{Peer: b.peer()})
		if got := want[fsm.DialFailed](a); !errors.Is(got.Err, ErrConnectionLimit) {
			t.Errorf("got %v", got.Err)
		}
	})
	t.Run("of an IP", func(t *testing.T) {
		a, b := newNode(t), newNode(t, func(c *Config) { c.MaxConnectionsPerIP = 1 })
		other := newNode(t)
		a.admit(b)
		other.admit(b)
		b.admit(a, other)
		connect(a, b)
		other.do(fsm.Dial{Peer: b.peer()})
		other.wantRefusal()
		if got := b.wantNotice(fsm.ConnectionLimit); got.Peer != "" || !strings.Contains(got.Detail, "MaxConnectionsPerIP") {
			t.Errorf("noticed %+v", got)
		}
	})
	t.Run("in total", func(t *testing.T) {
		a, b := newNode(t), newNode(t, func(c *Config) { c.MaxConnections = 1 })
		a.admit(b)
		b.admit(a)
		connect(a, b)
		a.do(fsm.Dial{Peer: b.peer()})
		a.wantRefusal()
		if got := b.wantNotice(fsm.ConnectionLimit); !strings.Contains(got.Detail, "MaxConnections:") {
			t.Errorf("noticed %+v", got)
		}
	})
}

func TestSilentSocketsDoNotLockOutFamiliarPlaces(t *testing.T) {
	a, b := newNode(t), newNode(t, func(c *Config) {
		c.MaxPendingHandshakes, c.HandshakeTimeout = 3, time.Hour
	})
	a.admit(b)
	b.admit(a)
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range 4 {
		c, err := elsewhere.Dial("tcp", b.listeners[0].Addr().String())
		if err != nil {
			t.Skip("this system has only one loopback address: ", err)
		}
		defer c.Close()
	}
	if got := b.wantNotice(fsm.ConnectionLimit); !strings.Contains(got.Detail, "MaxPendingHandshakes") {
		t.Errorf("noticed %+v", got)
	}
	connect(a, b)
}

func TestTwentyNodesOnOneIP(t *testing.T) {
	hub := newNode(t)
	for range 19 {
		n := newNode(t, func(c *Config) { c.Listen = nil })
		n.admit(hub)
		hub.admit(n)
		connect(n, hub)
	}
}

func TestRefusesAConfigurationThatCannotWork(t *testing.T) {
	list := allowlist.Everyone()
	key := newKey(t, identity.Ed25519)
	for name, config := range map[string]Config{
		"nothing":                 {},
		"a negative limit":        {Key: key, Allow: list, Payloads: newMemory(), MaxConnections: -1},
		"a name to listen on":     {Key: key, Allow: list, Payloads: newMemory(), Listen: []string{"localhost:0"}},
		"UDP":                     {Key: key, Allow: list, Payloads: newMemory(), Listen: []string{"/ip4/127.0.0.1/udp/0"}},
		"a port without a host":   {Key: key, Allow: list, Payloads: newMemory(), Listen: []string{"4001"}},
		"an address not its own":  {Key: key, Allow: list, Payloads: newMemory(), Listen: []string{"192.0.2.1:0"}},
		"a second address failed": {Key: key, Allow: list, Payloads: newMemory(), Listen: []string{"127.0.0.1:0", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := Listen(config); err == nil {
				p.Close()
				t.Error("Listen accepted it")
			}
		})
	}
}

// Only TCP, Noise and yamux are linked in.
func TestDependsOnNoOtherTransport(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skip("go list doesn't run here: ", err)
	}
	for _, dependency := range strings.Fields(string(out)) {
		for _, banned := range []string{
			"quic-go", "pion", "webtransport", "go-libp2p-kad-dht", "go-libp2p/p2p/net/swarm", "go-libp2p/p2p/protocol",
			"go-libp2p/p2p/host/basic", "go-libp2p/p2p/discovery", "go-libp2p/p2p/transport/websocket",
		} {
			if strings.Contains(dependency, banned) {
				t.Errorf("%s is linked in", dependency)
			}
		}
	}
}
