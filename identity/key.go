package identity

import (
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Kind is the signature scheme of a key.
type Kind uint8

const (
	Ed25519   Kind = iota + 1 // what to take unless something else asks for the other
	Secp256k1                 // Bitcoin's curve
)

// ParseKind reads a kind by its name, "ed25519" or "secp256k1".
func ParseKind(name string) (Kind, error) {
	for _, kind := range []Kind{Ed25519, Secp256k1} {
		if name == kind.String() {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("%w: there is no kind %q, write ed25519 or secp256k1", ErrUnsupported, name)
}

// String returns the name that [ParseKind] reads.
func (k Kind) String() string {
	switch k {
	case Ed25519:
		return "ed25519"
	case Secp256k1:
		return "secp256k1"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Key is a private identity key. It is immutable and may be used by many
// goroutines at once. The zero Key is none: its PeerID is the zero ID.
//
// However a Key is printed, logged or encoded, what appears is its peer ID.
// Only [Key.Save] and [Key.Libp2p] give the secret away.
type Key struct {
	// secret is a function because fmt follows pointers, but calls no function,
	// where a Key is in an unexported field of something else: there fmt doesn't
	// ask for Format.
	secret func() crypto.PrivKey // Ed25519 or secp256k1
	id     ID
}

// Generate makes a new key from the system's source of randomness.
func Generate(kind Kind) (Key, error) {
	var private crypto.PrivKey
	var err error
	switch kind {
	case Ed25519:
		private, _, err = crypto.GenerateEd25519Key(rand.Reader)
	case Secp256k1:
		private, _, err = crypto.GenerateSecp256k1Key(rand.Reader)
	default:
		return Key{}, fmt.Errorf("%w: there is no %v", ErrUnsupported, kind)
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate %v key: %w", kind, err)
	}
	return newKey(private)
}

// newKey wraps a private key of an accepted kind and works out its peer ID.
func newKey(private crypto.PrivKey) (Key, error) {
	id, err := peer.IDFromPublicKey(private.GetPublic())
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	return Key{secret: func() crypto.PrivKey { return private }, id: ID{string(id)}}, nil
}

// PeerID returns the ID by which others know the holder of this key.
func (k Key) PeerID() ID { return k.id }

// Public returns the public half, nil for the zero Key.
func (k Key) Public() crypto.PubKey {
	if k.IsZero() {
		return nil
	}
	return k.secret().GetPublic()
}

// Libp2p returns the key as libp2p uses it, nil for the zero Key. It is the
// secret itself.
func (k Key) Libp2p() crypto.PrivKey {
	if k.IsZero() {
		return nil
	}
	return k.secret()
}

// IsZero reports whether this is the zero Key.
func (k Key) IsZero() bool { return k.secret == nil }

// String names the key by its peer ID.
func (k Key) String() string {
	if k.IsZero() {
		return "no private key"
	}
	return "private key of " + k.id.String()
}

// Format writes [Key.String] for every verb: %x and %+v too show no secret.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// GoString is [Key.String].
func (k Key) GoString() string { return k.String() }

// LogValue is [Key.String].
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is [Key.String], so that a structure that holds a Key can be
// encoded without harm. There is no way back: keys are kept with [Key.Save].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
