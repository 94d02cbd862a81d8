package p2p

import (
	"net/netip"
	"slices"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

const (
	// maxVisited bounds the visits of peers to places that are remembered, besides
	// the places that the allow list names. The one longest ago is forgotten.
	maxVisited = 4096
	// maxVisitedByPeer bounds those of one peer, which may have a network of many
	// places to come from. The one longest ago is forgotten.
	maxVisitedByPeer = 4
	// maxPlacesOfNames bounds the places that the host names of one member make
	// familiar, since whoever answers for the names can choose them. Further ones are
	// passed over.
	maxPlacesOfNames = 16
)

// places knows where admitted peers may come from, before a key is proved. A place
// is an IPv4 address or an IPv6 /64. It is familiar when the allow list names it,
// by an address, a host name that stands for it or a pin to it alone; or when an
// admitted peer has come from it.
type places struct {
	named   listedPlaces
	visits  map[identity.ID][]visit // the last one at the end: at most maxVisitedByPeer for each peer
	visited map[netip.Prefix]int    // by how many peers: at most maxVisited
	known   int                     // visits, at most maxVisited
}

// listedPlaces are those that the allow list names. They don't change.
type listedPlaces struct {
	single  map[netip.Prefix]struct{} // at most allowlist.MaxAddresses and allowlist.MaxPins for each member, and maxResolved for each of maxNames
	wider   map[netip.Prefix]struct{} // pins to more than one place: at most allowlist.MaxPins for each member
	lengths []int                     // of the prefixes in wider
}

// visit is a peer's last one to a place.
type visit struct {
	place netip.Prefix
	at    time.Time
}

func newPlaces() places {
	return places{visits: make(map[identity.ID][]visit), visited: make(map[netip.Prefix]int)}
}

// newListedPlaces gathers the places of these members.
func newListedPlaces(members []allowlist.Member, names *names) listedPlaces {
	p := listedPlaces{single: make(map[netip.Prefix]struct{}), wider: make(map[netip.Prefix]struct{})}
	for _, m := range members {
		for place := range placesOf(m, names) {
			p.single[place] = struct{}{}
		}
		for _, pin := range m.From {
			if place := placeOf(pin.Addr()); pin.Bits() >= place.Bits() {
				p.single[place] = struct{}{}
				continue
			}
			p.wider[pin.Masked()] = struct{}{}
			if !slices.Contains(p.lengths, pin.Bits()) {
				p.lengths = append(p.lengths, pin.Bits())
			}
		}
	}
	return p
}

// placesOf are those that the addresses of a member stand for.
func placesOf(m allowlist.Member, names *names) map[netip.Prefix]struct{} {
	places := make(map[netip.Prefix]struct{}) // at most allowlist.MaxAddresses, and maxPlacesOfNames
	var named []netip.Addr                    // at most maxResolved for each of allowlist.MaxAddresses
	for _, address := range m.Addresses {
		at, err := ma.NewMultiaddr(address)
		if err != nil {
			continue // the list has none
		}
		if name, isName := nameIn(at); isName {
			named = append(named, names.addresses(name)...)
		} else {
			places[placeOf(ipOf(at))] = struct{}{}
		}
	}
	room := len(places) + maxPlacesOfNames
	for _, ip := range named {
		if len(places) < room {
			places[placeOf(ip)] = struct{}{}
		}
	}
	return places
}

// hostNames are the host names among the addresses of these members.
func hostNames(members []allowlist.Member) []hostName {
	var found []hostName
	for _, m := range members {
		for _, address := range m.Addresses {
			if m, err := ma.NewMultiaddr(address); err == nil {
				if name, isName := nameIn(m); isName {
					found = append(found, name)
				}
			}
		}
	}
	return found
}

// hold says whether the list names a place, or a wider pin holds it.
func (p *listedPlaces) hold(place netip.Prefix) bool {
	if _, named := p.single[place]; named {
		return true
	}
	for _, length := range p.lengths {
		if wider, err := place.Addr().Prefix(length); err == nil {
			if _, pinned := p.wider[wider]; pinned {
				return true
			}
		}
	}
	return false
}

// familiar says whether a place has rights of its own.
func (p *places) familiar(place netip.Prefix) bool {
	if _, named := p.named.single[place]; named {
		return true
	}
	return p.visited[place] > 0
}

// learn takes over the places that the allow list names, and forgets the visits of
// whoever isn't on it any more.
func (p *places) learn(named listedPlaces, allow *allowlist.List) {
	p.named = named
	for id := range p.visits {
		if !allow.Admits(id) {
			for len(p.visits[id]) > 0 {
				p.forget(id, 0)
			}
		}
	}
}

// visit makes a place familiar. For a peer's visits beyond its bound its first one
// makes room, so that no peer displaces the others': for those beyond the bound of
// all together the first one of all.
func (p *places) visit(place netip.Prefix, by identity.ID, now time.Time) {
	if again := slices.IndexFunc(p.visits[by], func(v visit) bool { return v.place == place }); again >= 0 {
		p.forget(by, again)
	}
	switch {
	case len(p.visits[by]) >= maxVisitedByPeer:
		p.forget(by, 0)
	case p.known >= maxVisited:
		p.forget(p.firstVisitor(), 0)
	}
	p.visits[by] = append(p.visits[by], visit{place, now})
	p.visited[place]++
	p.known++
}

// firstVisitor is whose first visit is longer ago than any other's.
func (p *places) firstVisitor() (first identity.ID) {
	var at time.Time
	for id, visits := range p.visits {
		if began := visits[0].at; at.IsZero() || began.Before(at) {
			first, at = id, began
		}
	}
	return first
}

// forget forgets one of a peer's visits, by its index.
func (p *places) forget(by identity.ID, index int) {
	visits := p.visits[by]
	decrement(p.visited, visits[index].place)
	p.known--
	if p.visits[by] = slices.Delete(visits, index, index+1); len(p.visits[by]) == 0 {
		delete(p.visits, by)
	}
}
