package identity_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-p2p/parley/identity"
)

var kinds = []identity.Kind{identity.Ed25519, identity.Secp256k1}

func generate(t *testing.T, kind identity.Kind) identity.Key {
	t.Helper()
	key, err := identity.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestGenerateMakesAKeyThatSigns(t *testing.T) {
	for _, kind := range kinds {
		key := generate(t, kind)
		signature, err := key.Libp2p().Sign([]byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if valid, err := key.Public().Verify([]byte("hello"), signature); err != nil || !valid {
			t.Errorf("%v: signature doesn't verify: %v", kind, err)
		}
		if id, err := identity.FromBytes(key.PeerID().Bytes()); err != nil || id != key.PeerID() {
			t.Errorf("%v: peer ID doesn't come back: %v, %v", kind, id, err)
		}
	}
	if _, err := identity.Generate(0); !errors.Is(err, identity.ErrUnsupported) {
		t.Errorf("kind 0: %v", err)
	}
}

func TestKindIsReadByItsName(t *testing.T) {
	for _, kind := range kinds {
		if got, err := identity.ParseKind(kind.String()); err != nil || got != kind {
			t.Errorf("%v: %v, %v", kind, got, err)
		}
	}
	if _, err := identity.ParseKind("rsa"); !errors.Is(err, identity.ErrUnsupported) {
		t.Errorf("rsa: %v", err)
	}
}

func TestZeroKeyIsNoKey(t *testing.T) {
	var key identity.Key
	if !key.IsZero() || !key.PeerID().IsZero() || key.Public() != nil || key.Libp2p() != nil {
		t.Error("the zero key has something")
	}
	if key.String() != "no private key" {
		t.Errorf("it calls itself %q", key)
	}
	if err := key.Save(t.TempDir() + "/key"); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("saving it: %v", err)
	}
}

// TestKeyNeverPrintsItsSecret formats, logs and encodes a key in every way a
// program might by mistake, alone and inside of other values.
func TestKeyNeverPrintsItsSecret(t *testing.T) {
	for _, kind := range kinds {
		key := generate(t, kind)
		raw, err := key.Libp2p().Raw()
		if err != nil {
			t.Fatal(err)
		}
		seed := raw[:32]

		type hidden struct{ key identity.Key }
		type shown struct{ Key identity.Key }
		var printed bytes.Buffer
		for _, value := range []any{key, &key, hidden{key}, &hidden{key}, shown{key}, []identity.Key{key}, map[string]any{"key": key}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U", "%p", "%T", "%w", "% x", "%10.3s"} {
				fmt.Fprintf(&printed, verb+"\n", value)
			}
			fmt.Fprintln(&printed, value)
			slog.New(slog.NewTextHandler(&printed, nil)).Info("start", "value", value)
			slog.New(slog.NewJSONHandler(&printed, nil)).Info("start", "value", value)
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			printed.Write(encoded)
		}
		fmt.Fprintln(&printed, fmt.Errorf("with %v in an error", key))

		decimal := strings.Trim(fmt.Sprint(seed[:8]), "[]")
		for _, secret := range []string{
			string(seed), hex.EncodeToString(seed[:8]), strings.ToUpper(hex.EncodeToString(seed[:8])),
			decimal, strings.ReplaceAll(decimal, " ", ","), fmt.Sprintf("% x", seed[:8]), fmt.Sprintf("%#v", seed[:8]),
			crypto.ConfigEncodeKey(seed)[:16],
		} {
			if strings.Contains(printed.String(), secret) {
				t.Fatalf("%v: the secret was printed", kind)
			}
		}
		if !strings.Contains(printed.String(), "private key of "+key.PeerID().String()) {
			t.Errorf("%v: the peer ID isn't there to tell keys apart", kind)
		}
	}
}
