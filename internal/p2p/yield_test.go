package p2p

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// silent is a connection that says nothing.
type silent struct {
	manet.Conn
	closed bool
}

func (c *silent) Close() error {
	c.closed = true
	return nil
}

// holds has silent sockets come from an address until one is refused, or there are
// so many.
func (g *gate) holds(at netip.AddrPort, most int) (held []*socket) {
	for range most {
		s := g.enter(at)
		if s == nil {
			break
		}
		s.Conn = new(silent)
		held = append(held, s)
	}
	return held
}

func TestSilentSocketsOfFewPlacesKeepNobodyOut(t *testing.T) {
	g, now := testGate(t)
	most := g.config.MaxPendingHandshakes
	greedy := g.holds(from(0), most)
	if len(greedy) != most/2 {
		t.Fatalf("one place holds %d of %d", len(greedy), most)
	}
	*now = now.Add(time.Millisecond)
	var others []*socket
	places := 1
	for ; g.handshakes < most; places++ {
		held := g.holds(from(places), most)
		if len(held) != maxPendingPerPlace {
			t.Fatalf("another holds %d", len(held))
		}
		others = append(others, held...)
	}
	g.wantRefused(t, from(1), "MaxPendingHandshakes: half are taken, and 4 from one IP")

	// Further places are let in, each for one of the greediest.
	for ; places < most/2; places++ {
		if len(g.holds(from(places), 1)) != 1 {
			t.Fatalf("place %d is kept out", places)
		}
	}
	yielded := places - most/2/maxPendingPerPlace - 1
	yields := 0
	for _, s := range greedy {
		if s.state == closed {
			yields++
		}
	}
	if yields != yielded {
		t.Errorf("%d of the greediest place have made room for %d", yields, yielded)
	}
	for _, s := range append(greedy, others...) {
		if s.Conn.(*silent).closed != (s.state == closed) {
			t.Errorf("closed, or counted for closed: %+v", s)
		}
	}
	refused := (&Protocol{gate: g}).Refusals()
	if i := slices.IndexFunc(refused, func(r Refusal) bool { return r.Layer == LayerHandshake }); i < 0 || refused[i].Reason != errYielded || refused[i].Count != yielded {
		t.Errorf("those that have made room are refused as %+v", refused)
	}

	// As many places as there is room for don't take it from each other.
	for ; places < most; places++ {
		if len(g.holds(from(places), 1)) != 1 {
			t.Fatalf("place %d is kept out", places)
		}
	}
	g.wantRefused(t, from(places), "MaxPendingHandshakes: 64")
	g.leaveAll(t)
}

// leaveAll closes what is open, and checks that nothing is counted any more.
func (g *gate) leaveAll(t *testing.T) {
	t.Helper()
	for s := range g.sockets {
		s.Close()
	}
	if g.accepted != 0 || g.handshakes != 0 || len(g.sockets)+len(g.byPlace)+len(g.pending)+len(g.slots) != 0 {
		t.Errorf("all are gone, and counted: %+v", g)
	}
}

// A listed peer with a network of many places to come from, and silent sockets at
// each, takes no other listed peer's room.
func TestOnePeersPlacesLeaveRoomForOthers(t *testing.T) {
	g, now := testGate(t)
	attacker, honest := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
	list, err := allowlist.New(allowlist.Member{ID: attacker}, allowlist.Member{ID: honest, Addresses: []string{"192.0.2.1:4001"}})
	if err != nil {
		t.Fatal(err)
	}
	g.config.Allow = list
	g.learn()
	place := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i), 15: 1}), 4001)
	}
	for i := range 64 {
		s := g.enter(place(i))
		if s == nil {
			t.Fatal("refused")
		}
		s.Conn = new(silent)
		if _, err := g.secure(s, idOf(fsm.Peer(attacker.Bytes()))); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	for i := range 64 {
		g.holds(place(i), g.config.MaxConnections)
	}
	if most := maxVisitedByPeer*g.config.ReservedHandshakes + g.config.MaxPendingHandshakes; g.accepted > most {
		t.Errorf("one peer's places hold %d connections, more than %d", g.accepted, most)
	}

	// Were there no more room than that, the honest peer would have some all the same.
	g.config.MaxConnections = g.accepted
	*now = now.Add(time.Second)
	at := netip.MustParseAddrPort("192.0.2.1:50000")
	room := g.handshakes // which yield first, and then the slots of the others
	for range g.config.ReservedHandshakes - 2 {
		if len(g.holds(at, 1)) != 1 {
			t.Fatal("an honest peer at a place that the list names is refused")
		}
	}
	if g.handshakes != room-g.config.ReservedHandshakes+2 {
		t.Errorf("%d of %d without slots have made room", room-g.handshakes, room)
	}
	for g.handshakes > 0 {
		for s := range g.sockets {
			if s.state == shaking && !s.own {
				s.Close()
			}
		}
	}
	g.config.MaxConnections = g.accepted
	other := from(1)
	g.places.visit(placeOf(other.Addr()), honest, *now)
	if len(g.holds(other, 1)) != 1 || g.slots[placeOf(other.Addr())] != 1 || g.accepted != g.config.MaxConnections {
		t.Error("an honest peer at a place that it has come from is refused")
	}
	g.leaveAll(t)
}
