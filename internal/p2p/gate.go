package p2p

import (
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

	"github.com/parley-p2p/parley/internal/fsm"
)

const (
	// provisionalShun is how long a peer that broke the protocol is kept out until
	// the machine has said for how long.
	provisionalShun = time.Second
	// maxShunned bounds the peers that are kept out. Beyond it the one whose time is
	// up first is let in again.
	maxShunned = 8192
)

// gate decides who is let in, in layers, the cheapest first:
//
//	accepted  by its address: what a place, and all together, may make
//	  │       Noise: the peer proves its key
//	secured   by its key: the allow list, its pins, kept out, connections enough
//
// It counts what it lets in, and the sockets tell it when they close. To libp2p's
// upgrader it is the connection gater.
type gate struct {
	config   Config
	self     peer.ID
	notices  *notices
	refusals *refusals
	names    *names
	now      func() time.Time
	bounds   bounds
	learning sync.Mutex

	mu         sync.Mutex
	places     places
	sockets    map[*socket]struct{} // one for each socket
	accepted   int                  // of sockets
	handshakes int                  // of them, those that haven't proved a key and have no slot of their own
	byPlace    map[netip.Prefix]int // one for each socket at most
	pending    map[netip.Prefix]int // of handshakes; one for each socket at most
	slots      map[netip.Prefix]int // of their own, taken; one for each socket at most
	strangers  *arrivals
	familiar   *arrivals
	computing  *rate.Limiter         // handshakes of unfamiliar places
	inbound    map[peer.ID]int       // connections that the peer dialled: one for each connection at most
	outbound   map[peer.ID]int       // connections and attempts of this node: one for each connection or dial at most
	shunned    map[peer.ID]time.Time // until when, at most maxShunned
}

func newGate(c Config, self peer.ID, n *notices) *gate {
	g := &gate{
		config:    c,
		self:      self,
		notices:   n,
		refusals:  newRefusals(),
		now:       time.Now,
		bounds:    newBounds(c),
		places:    newPlaces(),
		sockets:   make(map[*socket]struct{}),
		byPlace:   make(map[netip.Prefix]int),
		pending:   make(map[netip.Prefix]int),
		slots:     make(map[netip.Prefix]int),
		strangers: newArrivals(c.MaxArrivalsPerSecondPerIP, arrivalBurst),
		familiar:  newArrivals(familiarArrivals*c.MaxArrivalsPerSecondPerIP, familiarArrivals*arrivalBurst),
		computing: rate.NewLimiter(rate.Limit(c.MaxHandshakesPerSecond), 2*c.MaxHandshakesPerSecond),
		inbound:   make(map[peer.ID]int),
		outbound:  make(map[peer.ID]int),
		shunned:   make(map[peer.ID]time.Time),
	}
	g.names = newNames(c.Resolver, c.Logger, g.learn)
	return g
}

// enter decides about a connection by where it comes from, before anything is
// spent on it; nil refuses it. A refusal allocates nothing for a place that was
// refused before, since whoever knocks may do so as fast as it likes.
func (g *gate) enter(from netip.AddrPort) *socket {
	s, yielding := g.count(from)
	if yielding != nil {
		yielding.Close() // an error is the business of whoever uses it
	}
	return s
}

// count counts a connection that is let in, and not any more the one that has to be
// closed for it, if any.
func (g *gate) count(from netip.AddrPort) (s, yielding *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, place := g.now(), placeOf(from.Addr())
	familiar := g.places.familiar(place)
	own := familiar && g.slots[place] < g.config.ReservedHandshakes
	b, yielding := g.full(now, place, familiar, own)
	if b != nil {
		g.refusals.place(place, from, LayerAddress, b.reason, now)
		b.hit(g, from)
		return nil, nil
	}
	if yielding != nil {
		g.uncount(yielding, errYielded)
	}
	s = &socket{gate: g, accepted: true, from: from, place: place, familiar: familiar, began: now, own: own}
	g.sockets[s] = struct{}{}
	g.accepted++
	g.byPlace[place]++
	if own {
		g.slots[place]++
	} else {
		g.handshakes++
		g.pending[place]++
	}
	return s, yielding
}

// full is the bound that a connection from a place would go beyond; nil if none, once
// another has yielded to it. The rates come last: asking one takes the connection off it.
func (g *gate) full(now time.Time, place netip.Prefix, familiar, own bool) (b *bound, yielding *socket) {
	arrivals := g.strangers
	if familiar {
		arrivals = g.familiar
	}
	most := g.config.MaxPendingHandshakes
	switch {
	case g.config.ListedAddressesOnly && !g.places.named.hold(place):
		return &g.bounds.unlisted, nil
	case g.byPlace[place] >= g.config.MaxConnectionsPerIP:
		return &g.bounds.perIP, nil
	case !own && g.handshakes >= most/2 && g.pending[place] >= maxPendingPerPlace:
		return &g.bounds.crowded, nil
	}
	if all := g.accepted >= g.config.MaxConnections; all || !own && g.handshakes >= most {
		if yielding = g.yieldingTo(place, own); yielding == nil && all {
			return &g.bounds.connections, nil
		} else if yielding == nil {
			return &g.bounds.pending, nil
		}
	}
	switch {
	case !arrivals.take(place, now):
		return &g.bounds.arrivals, nil
	case !familiar && !g.computing.AllowN(now, 1):
		return &g.bounds.handshakes, nil
	}
	return nil, yielding
}

// InterceptAccept is asked by the upgrader about a socket that entered.
func (g *gate) InterceptAccept(c network.ConnMultiaddrs) bool {
	_, entered := c.(*socket)
	return entered
}

// InterceptSecured decides about a peer that has proved its key.
func (g *gate) InterceptSecured(direction network.Direction, id peer.ID, c network.ConnMultiaddrs) bool {
	if direction == network.DirOutbound {
		return g.admit(id) == nil
	}
	s := c.(*socket)
	layer, err := g.secure(s, id)
	if err == nil || err == errClosed {
		return err == nil
	}
	notice := fsm.Notice{Kind: fsm.StrangerRefused, Peer: peerOf(id), Address: addressOf(s.from), Detail: err.Error()}
	if layer == LayerLimit {
		notice.Kind = fsm.ConnectionLimit
	}
	g.notices.post(notice)
	return false
}

// secure takes a connection for its peer's, or says at which layer and why not.
func (g *gate) secure(s *socket, id peer.ID) (layer string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.state != shaking {
		return "", errClosed // meanwhile
	}
	layer, err = g.judge(id, s.from.Addr())
	g.shaken(s, err == nil)
	if err == nil && g.inbound[id] >= g.config.MaxConnectionsPerPeer {
		layer, err = LayerLimit, g.bounds.perPeer
	}
	if err != nil {
		s.state = turnedAway
		g.refusals.peer(id, s.from, layer, err, g.now())
		return layer, err
	}
	g.inbound[id]++
	s.state, s.peer = proved, id
	s.letIn.Store(true)
	if by, err := listed(id); err == nil {
		g.places.visit(s.place, by, g.now())
	}
	return "", nil
}

// judge is the rule for both directions: whom this node talks to at all, and at
// which address; with the zero Addr, at any. It is asked under mu: whoever is taken
// off the list meanwhile is found by sever.
func (g *gate) judge(id peer.ID, at netip.Addr) (layer string, err error) {
	if id == g.self {
		return LayerKey, ErrSelf
	}
	member, err := listed(id)
	switch {
	case err != nil:
		return LayerKey, errKey
	case !g.config.Allow.Admits(member):
		return LayerList, fsm.ErrNotListed
	case at.IsValid() && !g.config.Allow.AdmitsFrom(member, at):
		return LayerPin, ErrPinned
	case g.now().Before(g.shunned[id]):
		return LayerKeptOut, ErrShunned
	}
	return "", nil
}

// admit is judge for a peer wherever it is.
func (g *gate) admit(id peer.ID) error { return g.admitAt(id, netip.Addr{}) }

func (g *gate) admitAt(id peer.ID, at netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := g.judge(id, at)
	return err
}

// The other questions are the swarm's, which there is none of.
func (g *gate) InterceptPeerDial(peer.ID) bool               { return true }
func (g *gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}

// leave undoes what a socket was counted for.
func (g *gate) leave(s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reason := errUnproved
	switch {
	case s.heard.Load() > maxUnproved:
		reason = errTooMuchUnproved
	case g.now().Sub(s.began) >= g.config.HandshakeTimeout:
		reason = errUnprovedInTime
	}
	g.uncount(s, reason)
}

// uncount is leave, once; unproved is why no key was proved, if none was.
func (g *gate) uncount(s *socket, unproved error) {
	switch s.state {
	case closed:
		return // it has yielded before
	case shaking:
		g.shaken(s, false)
		g.refusals.place(s.place, s.from, LayerHandshake, unproved, g.now())
	case proved:
		decrement(g.inbound, s.peer)
	}
	s.state = closed
	delete(g.sockets, s)
	if s.accepted {
		g.accepted--
		decrement(g.byPlace, s.place)
	}
}

// shaken gives back the slot of a handshake, which has brought a peer that is let
// in or not.
func (g *gate) shaken(s *socket, letIn bool) {
	if s.familiar && !letIn {
		g.familiar.charge(s.place, failedArrival-1, g.now())
	}
	if s.own {
		decrement(g.slots, s.place)
	} else {
		g.handshakes--
		decrement(g.pending, s.place)
	}
}

// learn notes the places that the allow list names and what its host names stand
// for, as far as that is known; the others are looked up soon.
func (g *gate) learn() {
	g.learning.Lock() // the last to learn knows the newest
	defer g.learning.Unlock()
	members := g.config.Allow.Members()
	g.names.follow(hostNames(members))
	named := newListedPlaces(members, g.names)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places.learn(named, g.config.Allow)
}

// startDial counts an attempt to connect, until endDial; the connection that
// comes of it goes on counting.
func (g *gate) startDial(id peer.ID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.judge(id, netip.Addr{}); err != nil {
		return err
	}
	if g.outbound[id] >= g.config.MaxConnectionsPerPeer {
		return g.bounds.perPeer
	}
	g.outbound[id]++
	return nil
}

func (g *gate) endDial(id peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	decrement(g.outbound, id)
}

// dialled takes a socket that this node has dialled a peer on, so that sever finds
// it from here on; not when the peer may not be there, or be at all.
func (g *gate) dialled(id peer.ID, c manet.Conn) (*socket, error) {
	s := &socket{Conn: c, gate: g, state: dialled, peer: id, from: netip.AddrPortFrom(ipOf(c.RemoteMultiaddr()), 0)}
	g.mu.Lock()
	_, err := g.judge(id, s.from.Addr())
	g.sockets[s] = struct{}{}
	g.mu.Unlock()
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// sever closes the sockets of a peer that it may not have where they lead any
// more: all, unless its pins are all that has changed. When it returns they are closed.
func (g *gate) sever(id peer.ID) {
	g.mu.Lock()
	var severed []*socket
	for s := range g.sockets {
		if s.peer != id {
			continue
		}
		if _, err := g.judge(id, s.from.Addr()); err != nil {
			severed = append(severed, s)
		}
	}
	g.mu.Unlock()
	for _, s := range severed {
		s.Close() // an error is the business of whoever uses it
	}
}

// shun keeps a peer out until a moment; the zero time lets it in again.
func (g *gate) shun(id peer.ID, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.shunned, id)
	if !until.IsZero() {
		g.keepOut(id, until)
	}
}

// shunProvisionally keeps a peer out until the machine has said for how long, and
// never shortens what it has said.
func (g *gate) shunProvisionally(id peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := g.now().Add(provisionalShun); g.shunned[id].Before(until) {
		delete(g.shunned, id)
		g.keepOut(id, until)
	}
}

// keepOut adds a peer to those that are kept out: one whose time is up makes room,
// or else the one whose time is up first.
func (g *gate) keepOut(id peer.ID, until time.Time) {
	if len(g.shunned) >= maxShunned {
		now := g.now()
		maps.DeleteFunc(g.shunned, func(_ peer.ID, until time.Time) bool { return !until.After(now) })
	}
	if len(g.shunned) >= maxShunned {
		first := id
		for other, theirs := range g.shunned {
			if first == id || theirs.Before(g.shunned[first]) {
				first = other
			}
		}
		delete(g.shunned, first)
	}
	g.shunned[id] = until
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}
