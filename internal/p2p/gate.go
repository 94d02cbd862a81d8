package p2p

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

const (
	// provisionalShun is how long a peer that broke the protocol is kept out until
	// the machine has said for how long.
	provisionalShun = time.Second

	// A familiar place is an IP that the allow list names or from which an
	// admitted peer has come. It has handshake slots of its own, so that silent
	// sockets from elsewhere, which cost nothing, can't lock it out.
	familiarSlots = 8
	maxFamiliar   = 4096 // places remembered, besides those of the list

	// Elsewhere connections are taken at a certain rate, since each makes this
	// node compute a handshake.
	arrivalRate  = 5  // a second, from one IP
	arrivalBurst = 32 // at once
	maxArrivals  = 4096
)

// gate is libp2p's connection gater: the upgrader asks it when a socket was
// accepted, before anything is spent on it, and again when the peer has proved
// its key. It counts what it lets in, and the sockets tell it when they close.
type gate struct {
	config  Config
	self    peer.ID
	notices *notices
	now     func() time.Time

	mu         sync.Mutex
	sockets    int // accepted and not closed
	handshakes int // of them, those that haven't proved a key and have no slot of their own
	byIP       map[netip.Prefix]int
	named      map[netip.Prefix]bool  // by the allow list
	visited    map[netip.Prefix]visit // by admitted peers
	slots      map[netip.Prefix]int   // of their own, taken
	arrivals   map[netip.Prefix]*rate.Limiter
	inbound    map[peer.ID]int       // connections that the peer dialled
	outbound   map[peer.ID]int       // connections and attempts of this node
	shunned    map[peer.ID]time.Time // until when
}

// visit is the last one to a place.
type visit struct {
	by identity.ID
	at time.Time
}

func newGate(c Config, self peer.ID, n *notices) *gate {
	return &gate{
		config:   c,
		self:     self,
		notices:  n,
		now:      time.Now,
		byIP:     make(map[netip.Prefix]int),
		visited:  make(map[netip.Prefix]visit),
		slots:    make(map[netip.Prefix]int),
		arrivals: make(map[netip.Prefix]*rate.Limiter),
		inbound:  make(map[peer.ID]int),
		outbound: make(map[peer.ID]int),
		shunned:  make(map[peer.ID]time.Time),
	}
}

// InterceptAccept limits the sockets in all, of one IP and in handshake.
func (g *gate) InterceptAccept(c network.ConnMultiaddrs) bool {
	s, ok := c.(*socket)
	if !ok {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	familiar := g.named[s.ip] || g.visited[s.ip] != visit{}
	s.own = familiar && g.slots[s.ip] < familiarSlots
	limit := ""
	switch {
	case g.sockets >= g.config.MaxConnections:
		limit = fmt.Sprintf("MaxConnections: %d in total", g.config.MaxConnections)
	case g.byIP[s.ip] >= g.config.MaxConnectionsPerIP:
		limit = fmt.Sprintf("MaxConnectionsPerIP: %d from one IP", g.config.MaxConnectionsPerIP)
	case !s.own && g.handshakes >= g.config.MaxPendingHandshakes:
		limit = fmt.Sprintf("MaxPendingHandshakes: %d that have not proved a key", g.config.MaxPendingHandshakes)
	case !familiar && !g.arrives(s.ip):
		limit = fmt.Sprintf("rate: %d connections a second from one IP", arrivalRate)
	}
	if limit != "" {
		g.notices.post(fsm.Notice{Kind: fsm.ConnectionLimit, Address: c.RemoteMultiaddr().String(), Detail: limit})
		return false
	}
	g.sockets++
	g.byIP[s.ip]++
	if s.own {
		g.slots[s.ip]++
	} else {
		g.handshakes++
	}
	s.state = shaking
	return true
}

// arrives takes one connection off what a place may make.
func (g *gate) arrives(ip netip.Prefix) bool {
	limiter := g.arrivals[ip]
	if limiter == nil {
		if len(g.arrivals) >= maxArrivals {
			clear(g.arrivals) // the limits in all still hold
		}
		limiter = rate.NewLimiter(arrivalRate, arrivalBurst)
		g.arrivals[ip] = limiter
	}
	return limiter.AllowN(g.now(), 1)
}

// InterceptSecured asks the allow list, for connections of both directions,
// and limits those that one peer has dialled.
func (g *gate) InterceptSecured(direction network.Direction, id peer.ID, c network.ConnMultiaddrs) bool {
	address := c.RemoteMultiaddr().String()
	if err := g.admit(id); err != nil {
		g.notices.post(fsm.Notice{Kind: fsm.StrangerRefused, Peer: peerOf(id), Address: address, Detail: err.Error()})
		return false
	}
	if direction == network.DirOutbound {
		return true
	}
	s := c.(*socket)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inbound[id] >= g.config.MaxConnectionsPerPeer {
		g.notices.post(fsm.Notice{
			Kind: fsm.ConnectionLimit, Peer: peerOf(id), Address: address,
			Detail: fmt.Sprintf("MaxConnectionsPerPeer: %d from one peer", g.config.MaxConnectionsPerPeer),
		})
		return false
	}
	if s.state != shaking {
		return false // it was closed meanwhile
	}
	g.shaken(s)
	g.inbound[id]++
	s.state, s.peer = proved, id
	g.visit(s.ip, id)
	return true
}

// visit makes a place familiar; the one that was visited longest ago makes room.
func (g *gate) visit(place netip.Prefix, id peer.ID) {
	by, err := listed(id)
	if err != nil {
		return
	}
	if _, found := g.visited[place]; !found && len(g.visited) >= maxFamiliar {
		var oldest netip.Prefix
		for p, v := range g.visited {
			if !oldest.IsValid() || v.at.Before(g.visited[oldest].at) {
				oldest = p
			}
		}
		delete(g.visited, oldest)
	}
	g.visited[place] = visit{by: by, at: g.now()}
}

// The other questions are the swarm's, which there is none of.
func (g *gate) InterceptPeerDial(peer.ID) bool               { return true }
func (g *gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}

// admit is the rule for both directions: whom this node talks to at all.
func (g *gate) admit(id peer.ID) error {
	if id == g.self {
		return ErrSelf
	}
	member, err := listed(id)
	if err != nil {
		return err
	}
	if !g.config.Allow.Admits(member) {
		return fsm.ErrNotListed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now().Before(g.shunned[id]) {
		return ErrShunned
	}
	return nil
}

// leave undoes what a socket was counted for.
func (g *gate) leave(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch s.state {
	case refused:
		return
	case shaking:
		g.shaken(s)
	case proved:
		decrement(g.inbound, s.peer)
	}
	s.state = refused
	g.sockets--
	decrement(g.byIP, s.ip)
}

// shaken gives back the slot of a handshake.
func (g *gate) shaken(s *socket) {
	if s.own {
		decrement(g.slots, s.ip)
	} else {
		g.handshakes--
	}
}

// learn notes the IP addresses that the allow list names, and forgets those whose
// last visitor isn't on it any more. Host names aren't looked up for it: what they
// stand for becomes familiar with the first visit.
func (g *gate) learn() {
	named := make(map[netip.Prefix]bool)
	for _, m := range g.config.Allow.Members() {
		for _, address := range m.Addresses {
			if m, err := ma.NewMultiaddr(address); err == nil {
				if prefix := placeOf(ipOf(m)); prefix.IsValid() {
					named[prefix] = true
				}
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.named = named
	maps.DeleteFunc(g.visited, func(_ netip.Prefix, v visit) bool { return !g.config.Allow.Admits(v.by) })
}

// startDial counts an attempt to connect, until endDial; the connection that
// comes of it goes on counting.
func (g *gate) startDial(id peer.ID) error {
	if err := g.admit(id); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.outbound[id] >= g.config.MaxConnectionsPerPeer {
		return fmt.Errorf("%w: MaxConnectionsPerPeer is %d", ErrConnectionLimit, g.config.MaxConnectionsPerPeer)
	}
	g.outbound[id]++
	return nil
}

func (g *gate) endDial(id peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	decrement(g.outbound, id)
}

// shun keeps a peer out until a moment; the zero time lets it in again.
func (g *gate) shun(id peer.ID, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	maps.DeleteFunc(g.shunned, func(_ peer.ID, until time.Time) bool { return !until.After(now) })
	if until.IsZero() {
		delete(g.shunned, id)
	} else {
		g.shunned[id] = until
	}
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// socket is an accepted TCP connection that tells the gate when it closes.
type socket struct {
	manet.Conn
	gate *gate
	ip   netip.Prefix // the address it came from, IPv6 by its /64

	// Under gate.mu.
	state socketState
	own   bool // it has one of the slots of a familiar place
	peer  peer.ID
}

type socketState uint8

const (
	refused socketState = iota // not counted: not let in, or closed
	shaking                    // in handshake
	proved                     // has proved to be of peer
)

// Close closes the socket, more than once if libp2p does.
func (s *socket) Close() error {
	err := s.Conn.Close()
	s.gate.leave(s)
	return err
}
