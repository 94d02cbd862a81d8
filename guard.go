package parley

import (
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// Pardon lets a peer in that is kept out for breaking the protocol, and forgets
// what it did: what is open with it goes on at once. It does nothing for a peer
// that isn't kept out. When it returns the pardon is on disk. Errors: ErrClosed,
// ErrJournal.
func (h *Handler) Pardon(peer identity.ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Pardon{Peer: peerOf(peer)}})
	return public(err, peer, ID{})
}
