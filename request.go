package parley

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"syscall"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// Request makes a request to a peer, to be dialled at address (a multiaddr or
// host:port) or, when that is empty, where the allow list says. When it returns
// without an error the request is on disk: it is sent, and sent again, until it
// ends in exactly one way, which an event tells. A message may be empty.
//
// Errors: ErrNotListed, ErrNoAddress, ErrInvalid, ErrQueueFull, ErrTooLarge,
// ErrDiskFull, ErrFenced, ErrRolledBack, ErrMismatch, ErrContradicts, ErrClosed, and
// ErrJournal, after which the request may be on disk or not.
func (h *Handler) Request(peer identity.ID, address string, msg []byte) (ID, error) {
	ids, err := h.Send(Message{Peer: peer, Address: address, Body: msg})
	if err != nil {
		return ID{}, err
	}
	return ids[0], nil
}

// Send makes requests, all or none, with one sync for all of them. The IDs are in
// the messages' order. The errors are Request's, and ErrKeyReused.
func (h *Handler) Send(messages ...Message) ([]ID, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	a, err := h.enqueue(messages, false, nil)
	if err != nil {
		return nil, err
	}
	ids := make([]ID, len(a.Names))
	for i, name := range a.Names {
		ids[i] = idOfName(name)
	}
	return ids, nil
}

func (h *Handler) enqueue(messages []Message, waited bool, outcome chan<- fsm.Delivery) (fsm.Answer, error) {
	requests := make([]fsm.Outgoing, len(messages))
	for i, m := range messages {
		var err error
		if requests[i].Addresses, err = h.check(m); err != nil {
			return fsm.Answer{}, err
		}
	}
	room := maxInlineBatch
	for i, m := range messages {
		payload, err := h.stage(m.Body, room)
		room -= len(payload.Inline)
		if err != nil {
			h.unstage(requests[:i])
			return fsm.Answer{}, err
		}
		requests[i] = fsm.Outgoing{
			Peer: peerOf(m.Peer), Addresses: requests[i].Addresses, Lane: m.Lane, Deadline: m.Deadline, Key: m.Key,
			Payload: payload, Waited: waited,
			Dialable: m.Address != "" || len(h.allow.Addresses(m.Peer)) > 0,
		}
		rand.Read(requests[i].Tag[:]) // never fails: crypto/rand
	}
	a, err := h.call(mediator.Command{Input: fsm.Enqueue{Requests: requests}, Outcome: outcome})
	if err != nil {
		if !errors.Is(err, mediator.ErrJournal) && !errors.Is(err, ErrClosed) {
			h.unstage(requests)
		}
		return a, public(err, messages[a.At].Peer, ID{})
	}
	for i, name := range a.Names {
		if name.Tag != requests[i].Tag { // known by its key: the exchange has its own payload
			h.unstage(requests[i : i+1])
		}
	}
	return a, nil
}

// check refuses, before anything is stored, what could never be sent. It returns
// where to dial as a multiaddr, when that is given.
func (h *Handler) check(m Message) (addresses []string, err error) {
	switch {
	case m.Peer.IsZero():
		return nil, fmt.Errorf("%w: message without a peer", ErrInvalid)
	case int64(len(m.Body)) > h.config.MaxMessageSize:
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(m.Body), h.config.MaxMessageSize)
	case len(m.Lane) > fsm.MaxLane:
		return nil, fmt.Errorf("%w: lane of %d bytes, at most %d", ErrInvalid, len(m.Lane), fsm.MaxLane)
	case len(m.Key) > maxKey:
		return nil, fmt.Errorf("%w: key of %d bytes, at most %d", ErrInvalid, len(m.Key), maxKey)
	}
	if m.Address == "" {
		return nil, nil
	}
	address, err := allowlist.ParseAddressOf(m.Peer, m.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return []string{address}, nil
}

// stage gives a message its number and hash. A small one is written with the
// records that name it; a large one here, by the caller, so that it holds up
// nobody else; likewise what is beyond the room in the batch.
func (h *Handler) stage(msg []byte, room int) (fsm.Payload, error) {
	p := fsm.Payload{Hash: sha256.Sum256(msg), Size: int64(len(msg))}
	if len(msg) == 0 {
		return p, nil
	}
	release, err := h.use()
	if err != nil {
		return p, err
	}
	defer release()
	p.Number = h.journal.NextPayload()
	if len(msg) <= min(fsm.MaxInline, room) {
		p.Inline = append(make([]byte, 0, len(msg)), msg...) // the caller may use its slice again
		return p, nil
	}
	w, err := h.journal.CreatePayload(p.Number, p.Size)
	if err != nil {
		return p, h.unstored(err)
	}
	if _, err := w.Write(msg); err != nil {
		w.Abort()
		return p, h.unstored(err)
	}
	if err := w.Finish(); err != nil {
		return p, h.unstored(err)
	}
	return p, nil
}

// unstored is why a message was not stored: nothing names it, nothing was changed.
func (h *Handler) unstored(err error) error {
	if h.journal.Err() != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return fmt.Errorf("message could not be stored, nothing was changed: %w", err)
}

// unstage deletes large payloads that no record will name. Were it to fail, the
// next start would sweep them.
func (h *Handler) unstage(requests []fsm.Outgoing) {
	release, err := h.use()
	if err != nil {
		return
	}
	defer release()
	b := h.journal.Batch()
	for _, r := range requests {
		if r.Payload.Number != 0 && r.Payload.Inline == nil {
			b.DropPayload(r.Payload.Number)
		}
	}
	if err := b.Commit(false); err != nil {
		h.log.Warn("payloads of a refused request are left over until the next start", "error", err)
	}
}

// Cancel ends an exchange that this node made; the event that it is cancelled
// follows. Errors: ErrUnknown, ErrEnded.
func (h *Handler) Cancel(id ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Cancel{Name: nameOf(id)}})
	return public(err, id.Dialer, id)
}
