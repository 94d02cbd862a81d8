package parley

import (
	"errors"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/p2p"
)

// Refusal is why connections that came in were refused lately: those of one peer,
// or from one place where no key was proved, one after the other for the same
// reason.
type Refusal struct {
	Peer    identity.ID // zero when no key was proved
	Address string      // where the last came from
	// Layer is where in the guard it happened, from the cheapest: "address" (by
	// where it came from), "handshake" (no key was proved), "key" (of a kind that
	// isn't accepted, or this node's own), "list", "pin", "kept out" or "limit"
	// (the peer has connections enough).
	Layer string
	// Reason matches ErrNotListed, ErrPinned, ErrKeptOut, ErrConnectionLimit or
	// ErrHandshake, or says what is wrong with the key.
	Reason      error
	First, Last time.Time
	Count       int
}

// Refused is whom this node has refused lately, at most 1,024 listed peers, as many
// strangers that proved a key and as many places where none was proved: of each, the
// last refused first. What was refused before it was listed, unpinned or pardoned
// stays, with the time when.
func (h *Handler) Refused() []Refusal {
	var all []Refusal
	for _, r := range h.network.Refusals() {
		all = append(all, refusalOf(r))
	}
	return all
}

// WhyRefused is why a peer that proved its key was refused the last time, if it
// was lately; see Refused.
func (h *Handler) WhyRefused(peer identity.ID) (Refusal, bool) {
	r, found := h.network.Refusal(peerOf(peer))
	if !found {
		return Refusal{}, false
	}
	return refusalOf(r), true
}

func refusalOf(r p2p.Refusal) Refusal {
	return Refusal{
		Peer: idOf(r.Peer), Address: r.Address, Layer: r.Layer, Reason: reasonOf(r.Reason),
		First: r.First, Last: r.Last, Count: r.Count,
	}
}

// reason is why a connection was refused, in the P2P protocol's words and under
// its public name.
type reason struct{ name, why error }

func (r reason) Error() string   { return r.why.Error() }
func (r reason) Unwrap() []error { return []error{r.name, r.why} }

func reasonOf(why error) error {
	for _, name := range []struct{ inner, outer error }{
		{fsm.ErrNotListed, ErrNotListed}, {p2p.ErrPinned, ErrPinned}, {p2p.ErrShunned, ErrKeptOut},
		{p2p.ErrConnectionLimit, ErrConnectionLimit}, {p2p.ErrHandshake, ErrHandshake},
	} {
		if errors.Is(why, name.inner) {
			return reason{name.outer, why}
		}
	}
	return why
}

// Pardon lets a peer in that is kept out for breaking the protocol, and forgets
// what it did: what is open with it goes on at once. It does nothing for a peer
// that broke no rule lately. When it returns the pardon is on disk. Errors: ErrClosed,
// ErrJournal.
func (h *Handler) Pardon(peer identity.ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Pardon{Peer: peerOf(peer)}})
	return public(err, peer, ID{})
}
