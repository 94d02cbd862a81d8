package noise

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"io"
	"testing"

	"github.com/flynn/noise"
)

// fixed is a suite with an ephemeral key that isn't fresh.
type fixed struct {
	*suite
	next *ecdh.PrivateKey
}

func (f fixed) GenerateKeypair(io.Reader) (noise.DHKey, error) {
	f.ephemeral = f.next
	return noise.DHKey{Private: []byte(ephemeralName), Public: f.next.PublicKey().Bytes()}, nil
}

// TestSuiteGivesTheVectorsOfNoise makes the handshake of flynn/noise's vectors.txt
// (Noise_XX_25519_ChaChaPoly_SHA256, with payloads and without a prologue).
func TestSuiteGivesTheVectorsOfNoise(t *testing.T) {
	side := func(static, ephemeral string, initiator bool) *noise.HandshakeState {
		s := newSuite(privateKey(t, static))
		state, err := noise.NewHandshakeState(noise.Config{
			CipherSuite: fixed{s, privateKey(t, ephemeral)}, Pattern: noise.HandshakeXX,
			Initiator: initiator, StaticKeypair: s.staticPair(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	from := side("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f", true)
	to := side("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60", false)
	var ciphers [2]*noise.CipherState
	for _, message := range []struct{ payload, want string }{
		{"test_msg_0", "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254746573745f6d73675f30"},
		{"test_msg_1", "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484663414af878d3e46a2f58911a816d6e8346d4ea17a6f2a0bb4ef4ed56c133cff4572e7a2ba5123ac30618b3d205f5c2d17f50cbca216483ac56bcc78e33bf520303278db641e5e731b2e3a"},
		{"test_msg_2", "87f864c11ba449f46a0a4f4e2eacbb7b0457784f4fca1937f572c93603e9c4d9f27e318e43ba630594c4d08eeb3b36d97c7377a2f4f9144b2f0c8095ad92140505b2ab53eff244b14138"},
	} {
		got, a, b, err := from.WriteMessage(nil, []byte(message.payload))
		if err != nil || hex.EncodeToString(got) != message.want {
			t.Fatalf("%s: %x, %v", message.payload, got, err)
		}
		payload, _, _, err := to.ReadMessage(nil, got)
		if err != nil || string(payload) != message.payload {
			t.Fatalf("%s was read as %q, %v", message.payload, payload, err)
		}
		ciphers = [2]*noise.CipherState{a, b}
		from, to = to, from
	}
	for i, message := range []struct{ payload, want string }{
		{"yellowsubmarine", "a52ef02ba60e12696d1d6b9ef4245c88fca757b6134ad6e76b56e310a6adf6"},
		{"submarineyellow", "2445aa438ebd649281c636cc7269ca82f1d9023d72520943aeabf909cdf521"},
	} {
		// One message each way.
		got, err := ciphers[i].Encrypt(nil, nil, []byte(message.payload))
		if err != nil || hex.EncodeToString(got) != message.want {
			t.Errorf("%s: %x, %v", message.payload, got, err)
		}
	}
}

func privateKey(t *testing.T, text string) *ecdh.PrivateKey {
	t.Helper()
	secret, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.X25519().NewPrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSuiteComputesWhatFlynnComputes compares it with the functions it replaces.
func TestSuiteComputesWhatFlynnComputes(t *testing.T) {
	static, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newSuite(static)
	if string(s.Name()) != "25519_ChaChaPoly_SHA256" {
		t.Errorf("its name is %s", s.Name())
	}
	for range 20 {
		ephemeral, err := s.GenerateKeypair(nil)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := noise.DH25519.GenerateKeypair(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for name, public := range map[string][]byte{staticName: static.PublicKey().Bytes(), ephemeralName: ephemeral.Public} {
			got, err := s.DH([]byte(name), peer.Public)
			if err != nil {
				t.Fatal(err)
			}
			want, err := noise.DH25519.DH(peer.Private, public)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %x, want %x, %v", name, got, want, err)
			}
		}
	}
}

func TestEphemeralKeysAreFresh(t *testing.T) {
	s, seen := newSuite(nil), map[string]bool{}
	for range 10 {
		key, err := s.GenerateKeypair(nil)
		if err != nil || seen[string(key.Public)] {
			t.Fatal("an ephemeral key came twice", err)
		}
		seen[string(key.Public)] = true
	}
}

// TestDHRefusesPointsOfLowOrder: all of those of RFC 7748, section 6.1, for which
// the result would be zero, and what isn't a point.
func TestDHRefusesPointsOfLowOrder(t *testing.T) {
	s := newSuite(privateKey(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"09",
	} {
		public, err := hex.DecodeString(point)
		if err != nil {
			t.Fatal(err)
		}
		if shared, err := s.DH([]byte(staticName), public); err == nil {
			t.Errorf("%s gives %x", point, shared)
		}
	}
}
