package identity_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"google.golang.org/protobuf/proto"

	"github.com/parley-p2p/parley/identity"
)

// The example keys of the libp2p peer-ids specification, and their peer IDs.
const (
	specEd25519 = "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d" +
		"1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
	specSecp256k1 = "0802122053DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB"

	specEd25519ID   = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
	specSecp256k1ID = "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"
)

// encoded is the protobuf of a private key with any secret.
func encoded(t *testing.T, kind pb.KeyType, secret []byte) string {
	t.Helper()
	message, err := proto.Marshal(&pb.PrivateKey{Type: kind.Enum(), Data: secret})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(message)
}

func TestParseHexReadsWhatConfigurationsHold(t *testing.T) {
	seedTwice, err := hex.DecodeString(specEd25519[8:] + specEd25519[8+64:])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, id string }{
		{"an Ed25519 key", specEd25519, specEd25519ID},
		{"a secp256k1 key in capitals", specSecp256k1, specSecp256k1ID},
		{"with 0x", "0x" + specEd25519, specEd25519ID},
		{"with 0X", "0X" + specSecp256k1, specSecp256k1ID},
		{"with a line end", specEd25519 + "\r\n", specEd25519ID},
		{"folded over two lines", "  " + specEd25519[:64] + "\n\t" + specEd25519[64:], specEd25519ID},
		{"with the public half written twice", encoded(t, pb.KeyType_Ed25519, seedTwice), specEd25519ID},
	} {
		key, err := identity.ParseHex(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := key.PeerID().String(); got != test.id {
			t.Errorf("%s: peer ID %s, want %s", test.name, got, test.id)
		}
	}
}

func TestHexIsReadAgain(t *testing.T) {
	for _, kind := range []identity.Kind{identity.Ed25519, identity.Secp256k1} {
		key, err := identity.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		text, err := key.Hex()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := identity.ParseHex(text); err != nil || again.PeerID() != key.PeerID() {
			t.Errorf("the %v key doesn't come back: %v", kind, err)
		}
	}
	if _, err := (identity.Key{}).Hex(); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestParseHexRefuses(t *testing.T) {
	rsa, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdsa, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	marshal := func(key crypto.PrivKey) string {
		encoded, err := crypto.MarshalPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(encoded)
	}
	foreignHalf, err := hex.DecodeString(specEd25519[8:])
	if err != nil {
		t.Fatal(err)
	}
	foreignHalf[63] ^= 1
	// The order of secp256k1's group.
	order, err := hex.DecodeString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name, text string
		want       error
		says       string
	}{
		{"an RSA key", marshal(rsa), identity.ErrUnsupported, "RSA"},
		{"an ECDSA key", marshal(ecdsa), identity.ErrUnsupported, "ECDSA"},
		{"nothing", " \n", identity.ErrInvalidKey, "empty"},
		{"no digits", "a private key", identity.ErrInvalidKey, "hexadecimal"},
		{"half a byte", specEd25519[1:], identity.ErrInvalidKey, "hexadecimal"},
		{"a bare key of unknown kind", specSecp256k1[8:], identity.ErrInvalidKey, "which kind"},
		{"a truncated key", specEd25519[:len(specEd25519)-2], identity.ErrInvalidKey, "protobuf"},
		{"bytes behind the key", specEd25519 + "00", identity.ErrInvalidKey, "protobuf"},
		{"a public key", "08011220" + specEd25519[8+64:], identity.ErrInvalidKey, "halves"},
		{"an Ed25519 key with another's public half", encoded(t, pb.KeyType_Ed25519, foreignHalf), identity.ErrInvalidKey, "halves"},
		{"a short secp256k1 key", encoded(t, pb.KeyType_Secp256k1, make([]byte, 31)), identity.ErrInvalidKey, "31"},
		{"secp256k1's zero", encoded(t, pb.KeyType_Secp256k1, make([]byte, 32)), identity.ErrInvalidKey, "range"},
		{"secp256k1's order", encoded(t, pb.KeyType_Secp256k1, order), identity.ErrInvalidKey, "range"},
		{"beyond secp256k1's order", encoded(t, pb.KeyType_Secp256k1, bytes.Repeat([]byte{0xff}, 32)), identity.ErrInvalidKey, "range"},
		{"an endless text", strings.Repeat("0", 1<<20), identity.ErrInvalidKey, "too long"},
	} {
		_, err := identity.ParseHex(test.text)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
			continue
		}
		if !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %q doesn't say %q", test.name, err, test.says)
		}
		if digits := test.text; len(digits) > 32 && strings.Contains(err.Error(), digits[16:32]) {
			t.Errorf("%s: the error repeats the secret", test.name)
		}
	}
}

func FuzzParseHex(f *testing.F) {
	f.Add(specEd25519)
	f.Add("0x" + specSecp256k1 + "\n")
	f.Add(specSecp256k1[8:])
	f.Add("08001200")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := identity.ParseHex(text)
		if err != nil {
			if !errors.Is(err, identity.ErrInvalidKey) && !errors.Is(err, identity.ErrUnsupported) {
				t.Fatalf("an error without a type: %v", err)
			}
			return
		}
		encoded, err := crypto.MarshalPrivateKey(key.Libp2p())
		if err != nil {
			t.Fatal(err)
		}
		again, err := identity.ParseHex(hex.EncodeToString(encoded))
		if err != nil || again.PeerID() != key.PeerID() {
			t.Fatalf("the key doesn't come back: %v", err)
		}
	})
}
