package fsm

import "errors"

// What a call can be answered with. The public package gives them its names.
var (
	ErrQueueFull  = errors.New("queue full")
	ErrDiskFull   = errors.New("disk nearly full: nothing more is accepted until there is room")
	ErrNotListed  = errors.New("peer is not on the allow list")
	ErrNoRequest  = errors.New("no open request of that peer")
	ErrAmbiguous  = errors.New("several open requests of that peer: name one")
	ErrUnknown    = errors.New("no such exchange")
	ErrAnswered   = errors.New("already answered")
	ErrAbandoned  = errors.New("abandoned by its dialer")
	ErrOpen       = errors.New("exchange has not ended")
	ErrEnded      = errors.New("exchange has ended")
	ErrFenced     = errors.New("peer halted: another process or an older journal uses this key")
	ErrRolledBack = errors.New("peer halted: the journal is older than what the peer has seen")
	ErrMismatch   = errors.New("peer halted: it knows another request under the same number")
	// ErrContradicts is a record that can be read and doesn't belong to the others.
	ErrContradicts = errors.New("peer halted: a record of the journal contradicts its others")
	ErrNoAddress   = errors.New("no address to dial")
	ErrSelf        = errors.New("a node can't make a request to itself")
	ErrTagReused   = errors.New("tag used before")
	ErrKeyReused   = errors.New("idempotency key used for a different message")
)
