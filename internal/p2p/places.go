package p2p

import (
	"net/netip"
	"slices"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// maxVisited bounds the familiar places remembered besides those that the allow
// list names. The one visited longest ago is forgotten.
const maxVisited = 4096

// places knows where admitted peers may come from, before a key is proved. A place
// is an IPv4 address or an IPv6 /64. It is familiar when the allow list names it,
// by an address, a host name that stands for it or a pin to it alone; or when an
// admitted peer has come from it.
type places struct {
	named   listedPlaces
	visited map[netip.Prefix]visit // at most maxVisited
}

// listedPlaces are those that the allow list names. They don't change.
type listedPlaces struct {
	single  map[netip.Prefix]struct{} // at most allowlist.MaxAddresses and allowlist.MaxPins for each member, and maxResolved for each of maxNames
	wider   map[netip.Prefix]struct{} // pins to more than one place: at most allowlist.MaxPins for each member
	lengths []int                     // of the prefixes in wider
}

// visit is the last one to a place.
type visit struct {
	by identity.ID
	at time.Time
}

// newListedPlaces gathers the places of these members.
func newListedPlaces(members []allowlist.Member, names *names) listedPlaces {
	p := listedPlaces{single: make(map[netip.Prefix]struct{}), wider: make(map[netip.Prefix]struct{})}
	for _, m := range members {
		for _, address := range m.Addresses {
			for _, ip := range standsFor(address, names) {
				p.single[placeOf(ip)] = struct{}{}
			}
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

// standsFor is the IP address in an address of the allow list, or those that its
// host name stands for.
func standsFor(address string, names *names) []netip.Addr {
	m, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil // the list has none
	}
	if name, isName := nameIn(m); isName {
		return names.addresses(name)
	}
	return []netip.Addr{ipOf(m)}
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
	_, visited := p.visited[place]
	return visited
}

// learn takes over the places that the allow list names, and forgets those whose
// last visitor isn't on it any more.
func (p *places) learn(named listedPlaces, allow *allowlist.List) {
	p.named = named
	for place, v := range p.visited {
		if !allow.Admits(v.by) {
			delete(p.visited, place)
		}
	}
}

// visit makes a place familiar; the one that was visited longest ago makes room.
func (p *places) visit(place netip.Prefix, by identity.ID, now time.Time) {
	if _, found := p.visited[place]; !found && len(p.visited) >= maxVisited {
		var oldest netip.Prefix
		for place, v := range p.visited {
			if !oldest.IsValid() || v.at.Before(p.visited[oldest].at) {
				oldest = place
			}
		}
		delete(p.visited, oldest)
	}
	p.visited[place] = visit{by: by, at: now}
}
