package p2p

import (
	"errors"
	"fmt"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// Why a connection was refused, a dial failed or a connection ended. fsm.ErrNotListed is one of them too.
var (
	ErrNoAddress        = fmt.Errorf("%w: give one with the request or on the allow list", fsm.ErrNoAddress)
	ErrIdentityMismatch = errors.New("the address proved another key than the peer's")
	ErrSelf             = errors.New("a node can't dial itself")
	ErrConnectionLimit  = errors.New("connection limit reached")
	ErrPinned           = errors.New("the allow list pins the peer to other addresses")
	ErrHandshake        = errors.New("no key was proved")
	ErrShunned          = errors.New("the peer broke the protocol and is kept out for a while")
	ErrClosed           = errors.New("the P2P protocol is closed")
)

// Why no peer came of a connection that came in.
var (
	errUnproved        = fmt.Errorf("%w: the connection ended before", ErrHandshake)
	errUnprovedInTime  = fmt.Errorf("%w within HandshakeTimeout", ErrHandshake)
	errTooMuchUnproved = fmt.Errorf("%w: too much was sent before", ErrHandshake)
	errYielded         = fmt.Errorf("%w: the connection made room for one from elsewhere", ErrHandshake)
	errKey             = fmt.Errorf("%w: keys are Ed25519 or secp256k1", identity.ErrInvalidID)
)

// ErrGone is how Payloads says that a payload is no longer kept, since its
// exchange has ended.
var ErrGone = errors.New("the payload is no longer kept")

// errUnsendable is this node's own failure to write what it is told to: retrying
// won't mend it.
var errUnsendable = errors.New("this node cannot send what it holds")

// ViolationError is the end of a connection whose peer broke the protocol.
type ViolationError struct {
	Rule string // the rule that was broken; nothing that the peer sent
}

// Error names the rule.
func (e *ViolationError) Error() string { return "protocol violation: " + e.Rule }
