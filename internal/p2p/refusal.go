package p2p

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-p2p/parley/internal/fsm"
)

// maxRefusals bounds the refusals remembered: those of peers that are listed, as many
// of strangers that proved a key, and as many of places where none was proved. Of each
// the one that was added to longest ago is forgotten.
const maxRefusals = 1024

// The layers of the gate, from the cheapest to the dearest: where a connection that
// came in was refused.
const (
	LayerAddress   = "address"   // by where it came from
	LayerHandshake = "handshake" // it didn't prove a key
	LayerKey       = "key"       // the key is of a kind that isn't accepted, or this node's own
	LayerList      = "list"      // the key isn't on the allow list
	LayerPin       = "pin"       // it is, and pinned to another address
	LayerKeptOut   = "kept out"  // the peer broke the protocol before
	LayerLimit     = "limit"     // the peer has connections enough
)

// Refusal is why connections that came in were refused: those of one peer, or from
// one place where no key was proved, that were refused for the same reason.
type Refusal struct {
	Peer        fsm.Peer // empty when no key was proved
	Address     string   // where the last came from
	Reason      error    // matches one of this package's errors, or fsm.ErrNotListed
	Layer       string   // of the gate, one of the Layer constants
	First, Last time.Time
	Count       int
}

// refusals remembers whom the gate has refused. Adding to what is there already
// allocates nothing. Strangers, of whom anybody can make any number, have a table of
// their own: in it they displace nobody else.
type refusals struct {
	mu         sync.Mutex
	ofListed   refusalTable[peer.ID]
	ofStranger refusalTable[peer.ID] // none that is in ofListed
	ofPlace    refusalTable[netip.Prefix]
}

type refusalTable[K comparable] struct {
	entries map[K]*list.Element // at most maxRefusals
	order   *list.List          // of *refusalOf[K], the one added to last at the end; the same, at most maxRefusals
}

type refusalOf[K comparable] struct {
	who         K
	from        netip.AddrPort
	reason      error
	layer       string
	first, last time.Time
	count       int
}

func newRefusals() *refusals {
	return &refusals{
		ofListed:   newRefusalTable[peer.ID](),
		ofStranger: newRefusalTable[peer.ID](),
		ofPlace:    newRefusalTable[netip.Prefix](),
	}
}

func newRefusalTable[K comparable]() refusalTable[K] {
	return refusalTable[K]{make(map[K]*list.Element), list.New()}
}

func (r *refusals) peer(id peer.ID, from netip.AddrPort, layer string, reason error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table, other := &r.ofListed, &r.ofStranger
	if layer == LayerKey || layer == LayerList {
		table, other = other, table
	}
	other.remove(id) // it was listed meanwhile, or taken off
	table.add(id, from, layer, reason, now)
}

func (r *refusals) place(place netip.Prefix, from netip.AddrPort, layer string, reason error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ofPlace.add(place, from, layer, reason, now)
}

func (t *refusalTable[K]) add(who K, from netip.AddrPort, layer string, reason error, now time.Time) {
	e := t.entries[who]
	switch {
	case e != nil:
		t.order.MoveToBack(e)
	case len(t.entries) < maxRefusals:
		e = t.order.PushBack(&refusalOf[K]{who: who})
		t.entries[who] = e
	default: // the oldest gives its place
		e = t.order.Front()
		t.order.MoveToBack(e)
		delete(t.entries, e.Value.(*refusalOf[K]).who)
		t.entries[who] = e
		*e.Value.(*refusalOf[K]) = refusalOf[K]{who: who}
	}
	known := e.Value.(*refusalOf[K])
	if known.layer != layer || known.reason != reason {
		known.layer, known.reason, known.first, known.count = layer, reason, now, 0
	}
	known.from, known.last = from, now
	known.count++
}

func (t *refusalTable[K]) remove(who K) {
	if e := t.entries[who]; e != nil {
		t.order.Remove(e)
		delete(t.entries, who)
	}
}

func (r *refusalOf[K]) public(peer fsm.Peer) Refusal {
	return Refusal{
		Peer: peer, Address: addressOf(r.from), Reason: r.reason, Layer: r.layer,
		First: r.first, Last: r.last, Count: r.count,
	}
}

// Refusals are the connections lately refused that came in, of listed peers, of
// strangers and by place: in each of the three, the last one refused first.
func (p *Protocol) Refusals() []Refusal {
	r := p.gate.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.ofListed.appendTo(nil, peerOf)
	all = r.ofStranger.appendTo(all, peerOf)
	return r.ofPlace.appendTo(all, func(netip.Prefix) fsm.Peer { return "" })
}

func (t *refusalTable[K]) appendTo(all []Refusal, peer func(K) fsm.Peer) []Refusal {
	for e := t.order.Back(); e != nil; e = e.Prev() {
		known := e.Value.(*refusalOf[K])
		all = append(all, known.public(peer(known.who)))
	}
	return all
}

// Refusal is why a peer that proved its key was refused lately, if it was.
func (p *Protocol) Refusal(who fsm.Peer) (Refusal, bool) {
	r := p.gate.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, table := range []*refusalTable[peer.ID]{&r.ofListed, &r.ofStranger} {
		if e := table.entries[idOf(who)]; e != nil {
			return e.Value.(*refusalOf[peer.ID]).public(who), true
		}
	}
	return Refusal{}, false
}
