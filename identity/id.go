package identity

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// maxIDText bounds the texts looked at as a peer ID, in bytes. The forms in use have
// at most 72; a longer one is refused.
const maxIDText = 128

// ID is a peer ID: the public key of a peer in the form that libp2p gives it.
// It is comparable and can be a map's key; two IDs are equal exactly if the
// keys are. The zero ID is nobody's. Every other ID is valid, since only
// [ParseID], [FromBytes] and [Key.PeerID] make one.
type ID struct {
	multihash string // identity multihash of the protobuf of the public key
}

// ParseID reads a peer ID in the forms of the libp2p specification: base58
// ("12D3KooW…" for Ed25519, "16Uiu2…" for secp256k1), or a version 1 CID
// ("bafz…", "k51…"). Errors match [ErrInvalidID] or [ErrUnsupported].
func ParseID(text string) (ID, error) {
	if len(text) > maxIDText {
		return ID{}, fmt.Errorf("%w: %d characters are too many", ErrInvalidID, len(text))
	}
	decoded, err := peer.Decode(text)
	if err != nil {
		return ID{}, fmt.Errorf("%w: %q: a peer ID looks like 12D3KooW…, 16Uiu2… or bafz…", ErrInvalidID, text)
	}
	id, err := FromBytes([]byte(decoded))
	if err != nil {
		return ID{}, fmt.Errorf("%w (peer ID %q)", err, text)
	}
	return id, nil
}

// FromBytes reads a peer ID from its binary form, the multihash. It checks that
// the ID holds a public key of an accepted kind in its one right encoding, so
// that nobody has two IDs.
func FromBytes(multihash []byte) (ID, error) {
	if len(multihash) > maxIDText {
		return ID{}, fmt.Errorf("%w: %d bytes are too many", ErrInvalidID, len(multihash))
	}
	raw, err := peer.IDFromBytes(multihash)
	if err != nil {
		return ID{}, fmt.Errorf("%w: its bytes aren't a multihash", ErrInvalidID)
	}
	public, err := raw.ExtractPublicKey()
	if errors.Is(err, peer.ErrNoPublicKey) {
		return ID{}, fmt.Errorf("%w: this one holds only the hash of a key, as for RSA and ECDSA", ErrUnsupported)
	}
	if err != nil {
		return ID{}, fmt.Errorf("%w: it holds no valid public key", ErrInvalidID)
	}
	if !accepted(public) {
		return ID{}, fmt.Errorf("%w: this one is of kind %v", ErrUnsupported, public.Type())
	}
	if !raw.MatchesPublicKey(public) {
		return ID{}, fmt.Errorf("%w: it holds the public key in an unusual encoding", ErrInvalidID)
	}
	return ID{string(multihash)}, nil
}

// accepted reports whether keys of this kind are taken.
func accepted(public crypto.PubKey) bool {
	return public.Type() == pb.KeyType_Ed25519 || public.Type() == pb.KeyType_Secp256k1
}

// IsZero reports whether this is the zero ID, which is nobody's.
func (id ID) IsZero() bool { return id.multihash == "" }

// String returns the base58 form, by which a peer ID is usually shown; "" for
// the zero ID.
func (id ID) String() string { return peer.ID(id.multihash).String() }

// Short returns eleven characters for tables, such as 12D3…x7Kq9Z: the kind of
// key and the end. It tells the members of a group apart and identifies nobody.
func (id ID) Short() string {
	text := id.String()
	if len(text) <= 11 {
		return text
	}
	return text[:4] + "…" + text[len(text)-6:]
}

// Bytes returns the binary form, which [FromBytes] reads; empty for the zero ID.
func (id ID) Bytes() []byte { return []byte(id.multihash) }

// Compare orders IDs as their base58 texts are ordered. (Base58 keeps the order
// of bytes for IDs of one kind of key, and the kinds differ in the second byte.)
func (id ID) Compare(other ID) int { return cmp.Compare(id.multihash, other.multihash) }

// MarshalText returns the base58 form; the zero ID gives the empty text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what [ParseID] reads; the empty text gives the zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
