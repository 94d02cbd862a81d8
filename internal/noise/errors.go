package noise

import "errors"

// What a handshake fails with, besides the errors of the connection, of the
// context and of cryptography, and sec.ErrPeerIDMismatch where the peer isn't the
// one that was dialled.
var (
	// ErrKeyKind means that the peer's identity key is of a kind that isn't
	// accepted.
	ErrKeyKind = errors.New("the identity key is neither Ed25519 nor secp256k1: the peer needs another key")
	// ErrSignature means that the peer doesn't have the identity that it claims.
	ErrSignature = errors.New("the static key is not signed by the identity key")
	// ErrMessageTooLarge means that a message of the handshake announces more
	// than any that is needed.
	ErrMessageTooLarge = errors.New("message of the handshake is too large")
)

// ErrTampered is what reading fails with, for good, when what came isn't what the
// peer sent.
var ErrTampered = errors.New("Noise message was tampered with")
