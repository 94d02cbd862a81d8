package p2p

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-p2p/parley/internal/fsm"
)

// maxRefusals bounds the refusals remembered: those of peers that proved their key,
// and as many of places where none was proved. The one that was added to longest
// ago is forgotten.
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
// allocates nothing.
type refusals struct {
	mu      sync.Mutex
	ofPeer  refusalTable[peer.ID]
	ofPlace refusalTable[netip.Prefix]
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
		ofPeer:  refusalTable[peer.ID]{make(map[peer.ID]*list.Element), list.New()},
		ofPlace: refusalTable[netip.Prefix]{make(map[netip.Prefix]*list.Element), list.New()},
	}
}

func (r *refusals) peer(id peer.ID, from netip.AddrPort, layer string, reason error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ofPeer.add(id, from, layer, reason, now)
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

func (r *refusalOf[K]) public(peer fsm.Peer) Refusal {
	return Refusal{
		Peer: peer, Address: addressOf(r.from), Reason: r.reason, Layer: r.layer,
		First: r.first, Last: r.last, Count: r.count,
	}
}

// Refusals are the connections lately refused that came in, by peer and by place:
// in each of the two, the last one refused first.
func (p *Protocol) Refusals() []Refusal {
	r := p.gate.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Refusal
	for e := r.ofPeer.order.Back(); e != nil; e = e.Prev() {
		known := e.Value.(*refusalOf[peer.ID])
		all = append(all, known.public(peerOf(known.who)))
	}
	for e := r.ofPlace.order.Back(); e != nil; e = e.Prev() {
		all = append(all, e.Value.(*refusalOf[netip.Prefix]).public(""))
	}
	return all
}

// Refusal is why a peer that proved its key was refused lately, if it was.
func (p *Protocol) Refusal(who fsm.Peer) (Refusal, bool) {
	r := p.gate.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.ofPeer.entries[idOf(who)]
	if e == nil {
		return Refusal{}, false
	}
	return e.Value.(*refusalOf[peer.ID]).public(who), true
}
