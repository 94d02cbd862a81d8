package parley

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/p2p"
)

// The rooms below declare what they need of each other; here it is wired.

// log is the journal as the mediator writes it.
type log struct {
	journal *journal.Journal
	syncs   *atomic.Uint64
}

func (l log) Commit(batch fsm.Batch) error {
	b := l.journal.Batch()
	for _, p := range batch.Payloads {
		b.SetPayload(p.Number, p.Inline)
	}
	for _, r := range batch.Records {
		if r.Value == nil {
			b.Delete(r.Key)
		} else {
			b.Set(r.Key, r.Value)
		}
	}
	for _, number := range batch.Drop {
		b.DropPayload(number)
	}
	if batch.Sync {
		l.syncs.Add(1)
	}
	return b.Commit(batch.Sync)
}

func (l log) Low() bool               { return l.journal.Low() }
func (l log) Failed() <-chan struct{} { return l.journal.Failed() }
func (l log) Err() error              { return l.journal.Err() }

// payloads is the journal as the P2P protocol reads and writes it.
type payloads struct {
	journal *journal.Journal
	log     *slog.Logger
}

func (p payloads) NextPayload() uint64 { return p.journal.NextPayload() }

func (p payloads) CreatePayload(number uint64, size int64) (p2p.PayloadWriter, error) {
	return p.journal.CreatePayload(number, size)
}

func (p payloads) OpenPayload(number uint64) (io.ReadCloser, error) {
	r, err := p.journal.OpenPayload(number)
	if err != nil {
		return nil, gone(err)
	}
	return r, nil
}

func (p payloads) Payload(number uint64) ([]byte, error) {
	body, err := p.journal.Payload(number)
	return body, gone(err)
}

// DropPayload isn't synced: should it be lost in a crash, the next start sweeps.
func (p payloads) DropPayload(number uint64) {
	b := p.journal.Batch()
	b.DropPayload(number)
	if err := b.Commit(false); err != nil {
		p.log.Error("a payload that nothing names was not deleted", "payload", number, "error", err)
	}
}

// gone gives a dropped payload the P2P protocol's name.
func gone(err error) error {
	if errors.Is(err, journal.ErrNoPayload) {
		return fmt.Errorf("%w: %w", p2p.ErrGone, err)
	}
	return err
}

// pass passes an input to the mediator and waits until it was taken: unlike what
// follows from an event, such inputs have no room of their own in the channel.
func (h *Handler) pass(in fsm.Input) error {
	_, err := h.call(mediator.Command{Look: func(*fsm.Machine) {}, Input: in})
	return err
}

// tell passes an input to the mediator without waiting for what follows.
func (h *Handler) tell(in fsm.Input) {
	select {
	case h.loop.Commands <- mediator.Command{Input: in}:
	case <-h.loop.Stopped():
	}
}

// call passes a command to the mediator and waits for its answer.
func (h *Handler) call(c mediator.Command) (fsm.Answer, error) {
	select {
	case h.calls <- struct{}{}:
		defer func() { <-h.calls }()
	case <-h.loop.Stopped():
		return fsm.Answer{}, ErrClosed
	}
	answer := make(chan fsm.Answer, 1)
	c.Answer = answer
	select {
	case h.loop.Commands <- c:
	case <-h.loop.Stopped():
		return fsm.Answer{}, ErrClosed
	}
	select {
	case a := <-answer:
		return a, a.Err
	case <-h.loop.Stopped():
	}
	select {
	case a := <-answer: // in the last turn
		return a, a.Err
	default:
		return fsm.Answer{}, ErrClosed
	}
}

// publicNames are the machine's errors and what they are called outside.
var publicNames = []struct{ inner, outer error }{
	{fsm.ErrQueueFull, ErrQueueFull}, {fsm.ErrDiskFull, ErrDiskFull}, {fsm.ErrNotListed, ErrNotListed}, {fsm.ErrNoAddress, ErrNoAddress},
	{fsm.ErrSelf, ErrSelf}, {fsm.ErrNoRequest, ErrNoRequest}, {fsm.ErrAmbiguous, ErrAmbiguous}, {fsm.ErrUnknown, ErrUnknown},
	{fsm.ErrAnswered, ErrAnswered}, {fsm.ErrAbandoned, ErrAbandoned}, {fsm.ErrEnded, ErrEnded}, {fsm.ErrOpen, ErrOpen},
	{fsm.ErrFenced, ErrFenced}, {fsm.ErrRolledBack, ErrRolledBack}, {fsm.ErrMismatch, ErrMismatch}, {fsm.ErrContradicts, ErrContradicts}, {fsm.ErrKeyReused, ErrKeyReused},
}

// public gives the machine's errors their public names, and names the peer and
// the exchange.
func public(err error, peer identity.ID, id ID) error {
	if err == nil {
		return nil
	}
	for _, name := range publicNames {
		if errors.Is(err, name.inner) {
			err = name.outer
			break
		}
	}
	if errors.Is(err, mediator.ErrJournal) {
		err = fmt.Errorf("%w: %w", ErrJournal, err)
	}
	if peer.IsZero() || errors.Is(err, ErrClosed) || errors.Is(err, ErrJournal) {
		return err
	}
	return &PeerError{Peer: peer, ID: id, Err: err}
}

// openError says what a user can do about a journal that doesn't open.
func openError(err error) error {
	switch {
	case errors.Is(err, journal.ErrLocked):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case errors.Is(err, journal.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, journal.ErrOwner):
		return fmt.Errorf("%w: %w", ErrOwner, err)
	}
	return fmt.Errorf("open the journal: %w", err)
}
