package parley

import (
	"context"
	"errors"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/p2p"
)

// ErrNotTaken is in a Probe: the peer closed the connection once this node had proved
// its key, as it does with whom its allow list doesn't admit.
var ErrNotTaken = errors.New("the peer proved its key and closed the connection: it doesn't list this node, pins it elsewhere, keeps it out, or has connections enough with it")

// ErrProtocol is in a Probe: run the same release on both sides, or a later one.
var ErrProtocol = errors.New("the peer speaks no version of the protocol that this node does: run the same release on both sides")

// ErrSilent is in a Probe: the peer is there, and hangs.
var ErrSilent = errors.New("the peer proved its key, keeps the connection and says nothing: its node hangs, or its machine does")

// Probe is what came of trying what an exchange with a peer needs.
type Probe struct {
	Peer  identity.ID
	Steps []ProbeStep // those taken, in their order; only the last can have failed
}

// OK reports whether the peer answers.
func (p Probe) OK() bool { return len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Err == nil }

// ProbeStep is one step of a Probe.
type ProbeStep struct {
	// Name is "allowed" (this node may dial the peer), "resolve" (the allow list has
	// addresses of it that stand for something), "connect" (something listens there),
	// "key" (it proves the peer's key), "listed" (the peer keeps the connection) or
	// "answer" (it takes part in the protocol: Took is a round trip).
	Name    string
	Address string
	Took    time.Duration
	// Err matches ErrNotListed, ErrKeptOut, ErrConnectionLimit, ErrNoAddress, ErrPinned,
	// ErrNotTaken, ErrProtocol or ErrSilent, or says what else went wrong.
	Err error
}

// Probe tries what an exchange with a peer needs, step by step, on a connection of its
// own that is closed again; a peer that can't be dialled is asked on a connection that
// it has made. No exchange is touched. It takes six DialTimeouts at most. Error:
// ErrClosed.
func (h *Handler) Probe(ctx context.Context, peer identity.ID) (Probe, error) {
	if h.isClosed() {
		return Probe{}, ErrClosed
	}
	p := Probe{Peer: peer}
	for _, s := range h.network.Probe(ctx, peerOf(peer)) {
		p.Steps = append(p.Steps, ProbeStep{Name: s.Name, Address: s.Detail, Took: s.Took, Err: stepError(s.Err)})
	}
	return p, nil
}

// stepError gives a step's error its public name.
func stepError(err error) error {
	switch {
	case errors.Is(err, p2p.ErrNotTaken):
		return ErrNotTaken
	case errors.Is(err, p2p.ErrProtocol):
		return ErrProtocol
	case errors.Is(err, p2p.ErrSilent):
		return ErrSilent
	case errors.Is(err, p2p.ErrNoAddress):
		return ErrNoAddress
	case err == nil:
		return nil
	default:
		return reasonOf(err)
	}
}
