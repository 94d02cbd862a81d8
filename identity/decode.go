package identity

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"google.golang.org/protobuf/proto"
)

// maxEncodedKey bounds the encoded keys looked at, in bytes: enough to tell someone
// who brings an RSA key that it is one. A larger one is refused.
const maxEncodedKey = 16 << 10

// rawKeySize is the size in bytes of a bare secp256k1 key and of a bare Ed25519
// seed.
const rawKeySize = 32

// ParseHex reads a private key from the hexadecimal text of its libp2p
// protobuf, as BitVMX configurations hold it: 136 digits for Ed25519, which
// begin with 08011240, and 72 for secp256k1, which begin with 08021220. A
// leading 0x and white space anywhere, line ends too, don't matter.
//
// A bare key of 64 digits is refused: nothing in it says whether it is an
// Ed25519 seed or a secp256k1 key, and a wrong guess gives a valid key with
// another peer ID. Errors never repeat the text.
func ParseHex(text string) (Key, error) {
	if len(text) > 4*maxEncodedKey {
		return Key{}, fmt.Errorf("%w: the text is too long for one", ErrInvalidKey)
	}
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	digits = strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X")
	encoded, err := hex.DecodeString(digits)
	switch {
	case err != nil: // it would quote a digit of the secret
		return Key{}, fmt.Errorf("%w: expected an even number of hexadecimal digits", ErrInvalidKey)
	case len(encoded) == 0:
		return Key{}, fmt.Errorf("%w: the text is empty", ErrInvalidKey)
	case len(encoded) == rawKeySize:
		return Key{}, fmt.Errorf("%w: 64 digits don't say which kind of key they are: "+
			"put 08021220 in front of a secp256k1 key, or export an Ed25519 key as libp2p protobuf (136 digits)", ErrInvalidKey)
	}
	return decodeKey(encoded)
}

// decodeKey reads the libp2p protobuf of a private key. libp2p itself takes
// keys that no one should use, so the parts are checked here.
func decodeKey(encoded []byte) (Key, error) {
	var message pb.PrivateKey
	if err := proto.Unmarshal(encoded, &message); err != nil {
		// The decoder's own words add nothing that a reader could act on.
		return Key{}, fmt.Errorf("%w: expected its protobuf encoding", ErrInvalidKey)
	}
	secret := message.GetData()
	switch kind := message.GetType(); kind {
	case pb.KeyType_Ed25519:
		if !consistentEd25519(secret) {
			return Key{}, fmt.Errorf("%w: the two halves of the Ed25519 key don't belong together", ErrInvalidKey)
		}
	case pb.KeyType_Secp256k1:
		if len(secret) != rawKeySize {
			return Key{}, fmt.Errorf("%w: a secp256k1 key has %d bytes, this one %d", ErrInvalidKey, rawKeySize, len(secret))
		}
	default:
		return Key{}, fmt.Errorf("%w: this is a key of kind %v; make one with Generate", ErrUnsupported, kind)
	}
	private, err := crypto.PrivKeyUnmarshallers[message.GetType()](secret)
	if err != nil {
		return Key{}, fmt.Errorf("%w: damaged %v key", ErrInvalidKey, message.GetType())
	}
	if message.GetType() == pb.KeyType_Secp256k1 && !canonical(private, secret) {
		return Key{}, fmt.Errorf("%w: the number is outside the range of secp256k1", ErrInvalidKey)
	}
	return newKey(private)
}

// consistentEd25519 reports whether the secret is a seed followed by the public
// key that follows from it (once, or twice as libp2p wrote it in its early
// days). To sign with a foreign public half would give the seed away.
func consistentEd25519(secret []byte) bool {
	const size, once, twice = ed25519.SeedSize, ed25519.PrivateKeySize, ed25519.PrivateKeySize + ed25519.PublicKeySize
	if len(secret) != once && len(secret) != twice {
		return false
	}
	whole := ed25519.NewKeyFromSeed(secret[:size])
	same := subtle.ConstantTimeCompare(whole, secret[:once])
	if len(secret) == twice {
		same &= subtle.ConstantTimeCompare(whole[size:], secret[once:])
	}
	return same == 1
}

// canonical reports whether the key encodes to the bytes that it was decoded
// from and isn't zero: the curve's library reduces what is too large.
func canonical(private crypto.PrivKey, secret []byte) bool {
	raw, err := private.Raw()
	if err != nil {
		return false
	}
	zero := make([]byte, len(secret))
	return subtle.ConstantTimeCompare(raw, secret) == 1 && subtle.ConstantTimeCompare(raw, zero) == 0
}

// Hex is the text of the key that ParseHex reads: the secret itself, for a BitVMX
// configuration and nothing else. Error: ErrNoKey.
func (k Key) Hex() (string, error) {
	if k.IsZero() {
		return "", ErrNoKey
	}
	encoded, err := crypto.MarshalPrivateKey(k.secret())
	return hex.EncodeToString(encoded), err
}
