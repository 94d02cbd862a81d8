package p2p

import "net/netip"

// maxPendingPerPlace bounds the connections of one place that haven't proved a key,
// besides those in slots of its own, once half of MaxPendingHandshakes are taken.
// More are refused.
const maxPendingPerPlace = 4

// yieldingTo is the connection that makes room for one from a place, if one must: of
// those that haven't proved a key, the first of the place that has most. One without a
// slot of its own yields to one with. Otherwise a place yields only to one that has at
// least two less, so that silent sockets of few places keep no other out, and as many
// places as there is room for don't take it from each other.
func (g *gate) yieldingTo(place netip.Prefix, own bool) *socket {
	held, inSlots := g.pending, false
	if own && len(g.pending) == 0 {
		held, inSlots = g.slots, true
	}
	crowd, most := mostIn(held)
	if own == inSlots && most < held[place]+2 {
		return nil
	}
	var first *socket
	for s := range g.sockets {
		if s.state == shaking && s.place == crowd && s.own == inSlots && s.Conn != nil && (first == nil || s.began.Before(first.began)) {
			first = s
		}
	}
	return first
}

func mostIn(counts map[netip.Prefix]int) (place netip.Prefix, most int) {
	for at, count := range counts {
		if count > most {
			place, most = at, count
		}
	}
	return place, most
}
