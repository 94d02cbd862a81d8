package parley

import (
	"errors"
	"fmt"

	"github.com/parley-p2p/parley/identity"
)

// Errors of calls and events, for errors.Is. What a peer did is told by *PeerError
// or *RejectedError; everything else went wrong here.
var (
	ErrQueueFull   = errors.New("too many exchanges are open or not committed: wait for some to end, take their events, or raise the limit in Config")
	ErrInvalid     = errors.New("invalid call")
	ErrTooLarge    = errors.New("message too large: see Config.MaxMessageSize")
	ErrNotListed   = errors.New("peer is not on the allow list")
	ErrNoAddress   = errors.New("no address to dial: give one, or list one in the allow list")
	ErrNoRequest   = errors.New("no open request of that peer to answer")
	ErrAmbiguous   = errors.New("several open requests of that peer: answer by ID with Reply")
	ErrUnknown     = errors.New("no such exchange")
	ErrAnswered    = errors.New("request was already answered or rejected")
	ErrAbandoned   = errors.New("request was abandoned by its dialer")
	ErrOpen        = errors.New("exchange has not ended")
	ErrSelf        = errors.New("a node can't make a request to itself")
	ErrDiskFull    = errors.New("disk nearly full: make room on that of the journal; until then nothing more is accepted, and what is open goes on")
	ErrEnded       = errors.New("exchange has ended")
	ErrRejected    = errors.New("request was rejected")
	ErrExpired     = errors.New("deadline passed")
	ErrCancelled   = errors.New("exchange was cancelled")
	ErrKeyReused   = errors.New("idempotency key was used for a different message")
	ErrClosed      = errors.New("handler is closed")
	ErrBusy        = errors.New("another call is receiving: events have one consumer")
	ErrLater       = errors.New("answer later")
	ErrJournal     = errors.New("journal can't store: the call's effect may be on disk or not; make room or repair, then open again")
	ErrStuck       = errors.New("the node hangs, or its disk does: look at the disk, and restart the node")
	ErrDamaged     = errors.New("the journal is not what was written")
	ErrOwner       = errors.New("the journal is of another key")
	ErrLocked      = errors.New("directory is used by another process")
	ErrFenced      = errors.New("another process or an older journal uses this key towards the peer: stop the other one, then renew the epoch (parley journal new-epoch)")
	ErrRolledBack  = errors.New("the journal is older than what the peer has seen: if it was restored on purpose, renew the epoch (parley journal new-epoch)")
	ErrContradicts = errors.New("records of the journal about the peer contradict each other: restore the journal from one backup, whole, or renew the epoch (parley journal new-epoch)")
	ErrMismatch    = errors.New("the peer knows another request under this number: if a journal was restored, renew the epoch (parley journal new-epoch)")
)

// Why a connection was refused, in Refusal.Reason; ErrNotListed is one of them too.
var (
	ErrPinned          = errors.New("the allow list pins the peer to other addresses")
	ErrKeptOut         = errors.New("peer broke the protocol and is kept out for a while: wait, or pardon it")
	ErrConnectionLimit = errors.New("connection limit reached: see Config")
	ErrHandshake       = errors.New("no key was proved")
)

// RejectedError is a request's end by its responder's rejection.
// errors.Is(err, ErrRejected) holds.
type RejectedError struct {
	Peer   identity.ID
	ID     ID
	Reason string // the responder's, "" when it gave none
}

func (e *RejectedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("peer %s rejected %s", e.Peer, e.ID)
	}
	return fmt.Sprintf("peer %s rejected %s: %s", e.Peer, e.ID, e.Reason)
}

func (e *RejectedError) Is(target error) bool { return target == ErrRejected }

// PeerError is trouble with one peer: which, and at which exchange when one is
// concerned.
type PeerError struct {
	Peer identity.ID
	ID   ID // zero when no exchange is concerned
	Err  error
}

func (e *PeerError) Error() string {
	if e.ID == (ID{}) {
		return fmt.Sprintf("peer %s: %v", e.Peer, e.Err)
	}
	return fmt.Sprintf("peer %s, exchange %s: %v", e.Peer, e.ID, e.Err)
}

func (e *PeerError) Unwrap() error { return e.Err }
