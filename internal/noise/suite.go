package noise

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/flynn/noise"
)

// primitives are Noise's 25519_ChaChaPoly_SHA256.
var primitives = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashSHA256)

// suite is primitives for one handshake, with the two methods replaced that have
// to do with private keys. It keeps the keys themselves, so that no public key is
// computed twice, and flynn/noise holds what names them.
type suite struct {
	noise.CipherSuite
	static, ephemeral *ecdh.PrivateKey
}

// What flynn/noise takes for the bytes of the private keys.
const (
	staticName    = "s"
	ephemeralName = "e"
)

func newSuite(static *ecdh.PrivateKey) *suite {
	return &suite{CipherSuite: primitives, static: static}
}

// staticPair is the static key as a configuration of flynn/noise has it.
func (s *suite) staticPair() noise.DHKey {
	return noise.DHKey{Private: []byte(staticName), Public: s.static.PublicKey().Bytes()}
}

// GenerateKeypair makes the ephemeral key. Randomness is the system's, whatever
// is given.
func (s *suite) GenerateKeypair(io.Reader) (noise.DHKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return noise.DHKey{}, err
	}
	s.ephemeral = key
	return noise.DHKey{Private: []byte(ephemeralName), Public: key.PublicKey().Bytes()}, nil
}

// DH is X25519 (RFC 7748). A public key of low order is an error.
func (s *suite) DH(private, public []byte) ([]byte, error) {
	key := s.static
	if string(private) == ephemeralName {
		key = s.ephemeral
	}
	peer, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("the peer's Diffie-Hellman key: %w", err)
	}
	return key.ECDH(peer)
}
