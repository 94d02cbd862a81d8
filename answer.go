package parley

import (
	"fmt"
	"unicode/utf8"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// Response answers the only open request of a peer that the application was
// given in this run. Errors: ErrNoRequest, ErrAmbiguous when there are several
// (use Reply), ErrTooLarge, ErrClosed, ErrJournal.
func (h *Handler) Response(peer identity.ID, msg []byte) error {
	return h.respond(fsm.Respond{Peer: peerOf(peer)}, peer, ID{}, msg)
}

// Reply answers a request. When it returns without an error the reply is on
// disk; it is sent until its dialer has it. Giving the same reply again does
// nothing. Errors: ErrUnknown, ErrAnswered, ErrAbandoned, ErrTooLarge, ErrClosed,
// ErrJournal.
func (h *Handler) Reply(id ID, msg []byte) error {
	return h.respond(fsm.Respond{Name: nameOf(id)}, id.Dialer, id, msg)
}

func (h *Handler) respond(in fsm.Respond, peer identity.ID, id ID, msg []byte) error {
	if int64(len(msg)) > h.config.MaxMessageSize {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(msg), h.config.MaxMessageSize)
	}
	payload, err := h.stage(msg, maxInlineBatch)
	if err != nil {
		return err
	}
	in.Payload = payload
	a, err := h.call(mediator.Command{Input: in})
	if len(a.Names) == 0 && h.journal.Err() == nil { // refused, or the same reply as before
		h.unstage([]fsm.Outgoing{{Payload: payload}})
	}
	return public(err, peer, id)
}

// Reject refuses a request for good; its dialer is told the reason, at most
// 1,024 bytes of UTF-8. The errors are Reply's, and ErrInvalid.
func (h *Handler) Reject(id ID, reason string) error {
	if len(reason) > fsm.MaxReason || !utf8.ValidString(reason) {
		return fmt.Errorf("%w: reason of %d bytes, want at most %d bytes of UTF-8", ErrInvalid, len(reason), fsm.MaxReason)
	}
	_, err := h.call(mediator.Command{Input: fsm.Refuse{Name: nameOf(id), Reason: reason}})
	return public(err, id.Dialer, id)
}
