package noise

import (
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	cryptopb "github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/security/noise/pb"
	"google.golang.org/protobuf/proto"
)

// signaturePrefix stands before the static key in what an identity key signs
// (specification, "The libp2p Signed Handshake Payload").
const signaturePrefix = "noise-libp2p-static-key:"

// maxMuxers bounds the muxers that a peer may offer; of a peer that offers more
// none is taken, and the muxer is negotiated after the handshake.
const maxMuxers = 100

// newPayload says who has the static key and which muxers he offers.
func newPayload(key crypto.PrivKey, static []byte, muxers []protocol.ID) ([]byte, error) {
	public, err := crypto.MarshalPublicKey(key.GetPublic())
	if err != nil {
		return nil, fmt.Errorf("Noise: encode the identity key: %w", err)
	}
	signature, err := key.Sign(signed(static))
	if err != nil {
		return nil, fmt.Errorf("Noise: sign the static key: %w", err)
	}
	payload, err := proto.Marshal(&pb.NoiseHandshakePayload{
		IdentityKey: public,
		IdentitySig: signature,
		Extensions:  &pb.NoiseExtensions{StreamMuxers: protocol.ConvertToStrings(muxers)},
	})
	if err != nil {
		return nil, fmt.Errorf("Noise: encode the payload: %w", err)
	}
	return payload, nil
}

// signed is what an identity key signs.
func signed(static []byte) []byte { return append([]byte(signaturePrefix), static...) }

// expectation is whom the caller expects, if it checks that.
type expectation struct {
	id    peer.ID
	check bool
}

// remote is a peer that has proved its identity.
type remote struct {
	id     peer.ID
	key    crypto.PubKey
	muxers []protocol.ID
}

// verify finds out whose static key it is. That the peer has the key itself is
// known before: otherwise its payload couldn't have been opened.
func (t *Transport) verify(payload, static []byte, want expectation) (remote, error) {
	var p pb.NoiseHandshakePayload
	if err := proto.Unmarshal(payload, &p); err != nil {
		return remote{}, fmt.Errorf("decode the payload: %w", err)
	}
	key, err := identityKey(p.GetIdentityKey())
	if err != nil {
		return remote{}, err
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return remote{}, fmt.Errorf("identity key: %w", err)
	}
	if want.check && id != want.id {
		return remote{}, sec.ErrPeerIDMismatch{Expected: want.id, Actual: id}
	}
	if !t.known.has(static, id) {
		if ok, err := key.Verify(signed(static), p.GetIdentitySig()); err != nil {
			return remote{}, fmt.Errorf("%w: %w", ErrSignature, err)
		} else if !ok {
			return remote{}, ErrSignature
		}
		if t.config.Remember != nil && t.config.Remember(id) {
			t.known.add(static, id)
		}
	}
	muxers := p.GetExtensions().GetStreamMuxers()
	if len(muxers) > maxMuxers {
		muxers = nil
	}
	return remote{id: id, key: key, muxers: protocol.ConvertFromStrings(muxers)}, nil
}

// identityKey decodes a key of a kind that is cheap to verify with: an RSA key
// costs as much as its sender likes.
func identityKey(encoded []byte) (crypto.PubKey, error) {
	var p cryptopb.PublicKey
	if err := proto.Unmarshal(encoded, &p); err != nil {
		return nil, fmt.Errorf("decode the identity key: %w", err)
	}
	if !accepted(p.GetType()) {
		return nil, ErrKeyKind
	}
	key, err := crypto.PublicKeyFromProto(&p)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	return key, nil
}

func accepted(kind cryptopb.KeyType) bool {
	return kind == cryptopb.KeyType_Ed25519 || kind == cryptopb.KeyType_Secp256k1
}

// agreed is the first muxer of the dialer that the listener has too.
func agreed(dialer, listener []protocol.ID) network.ConnectionState {
	for _, muxer := range dialer {
		if slices.Contains(listener, muxer) {
			return network.ConnectionState{StreamMultiplexer: muxer, UsedEarlyMuxerNegotiation: true}
		}
	}
	return network.ConnectionState{}
}
