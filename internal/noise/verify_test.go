package noise

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/flynn/noise"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise/pb"
	"google.golang.org/protobuf/proto"
)

// altered is a transport's payload with a field changed.
func altered(t testing.TB, transport *Transport, change func(*pb.NoiseHandshakePayload)) []byte {
	t.Helper()
	var p pb.NoiseHandshakePayload
	if err := proto.Unmarshal(transport.payload, &p); err != nil {
		t.Fatal(err)
	}
	change(&p)
	payload, err := proto.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestRefusesWhoHasNotProvedAnIdentity(t *testing.T) {
	honest, other := newTestTransport(t, nil), newTestTransport(t, nil)
	zero := pairOf(honest)
	zero.Public = make([]byte, 32)
	tests := []struct {
		name    string
		static  noise.DHKey
		payload []byte
		want    error  // or
		text    string // of it
	}{
		{"nothing", pairOf(honest), nil, nil, "identity key"},
		{"what is no payload", pairOf(honest), []byte{0xff}, nil, "decode the payload"},
		{"a payload without a key", pairOf(honest), altered(t, honest, func(p *pb.NoiseHandshakePayload) { p.IdentityKey = nil }), nil, "identity key"},
		{"a key that is none", pairOf(honest), altered(t, honest, func(p *pb.NoiseHandshakePayload) { p.IdentityKey = []byte{8, 1, 18, 1, 0} }), nil, "identity key"},
		{"no signature", pairOf(honest), altered(t, honest, func(p *pb.NoiseHandshakePayload) { p.IdentitySig = nil }), ErrSignature, ""},
		{"a changed signature", pairOf(honest), altered(t, honest, func(p *pb.NoiseHandshakePayload) { p.IdentitySig[40] ^= 1 }), ErrSignature, ""},
		{"the signature of another static key", pairOf(honest), other.payload, ErrSignature, ""},
		{"the key of another", pairOf(honest), altered(t, honest, func(p *pb.NoiseHandshakePayload) { p.IdentityKey = publicOf(t, other) }), ErrSignature, ""},
		{"a static key that it doesn't have", noise.DHKey{Private: pairOf(other).Private, Public: pairOf(honest).Public}, honest.payload, nil, "open a message"},
		{"a static key of low order", zero, honest.payload, nil, "low order"},
	}
	for _, test := range tests {
		for _, dialled := range []bool{true, false} {
			err := meet(t, newTestTransport(t, everyone), dialled, test.static, test.payload)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s, dialled %v: %v", test.name, dialled, err)
			}
		}
	}
	for _, dialled := range []bool{true, false} {
		if err := meet(t, newTestTransport(t, nil), dialled, pairOf(honest), honest.payload); err != nil {
			t.Errorf("the honest one, dialled %v: %v", dialled, err)
		}
	}
}

func publicOf(t testing.TB, transport *Transport) []byte {
	t.Helper()
	key, err := crypto.MarshalPublicKey(transport.public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKnownPeerIsNotVerifiedAgain(t *testing.T) {
	listed, verified := true, 0
	transport := newTestTransport(t, func(peer.ID) bool {
		verified++
		return listed
	})
	a, b := newTestTransport(t, nil), newTestTransport(t, nil)
	for i, step := range []struct {
		who    *Transport
		listed bool
		want   int
	}{
		{a, false, 1}, {a, true, 2}, {a, true, 2}, {a, false, 2}, {b, true, 3}, {b, true, 3}, {a, true, 3},
	} {
		listed = step.listed
		if err := meet(t, transport, i%2 == 0, pairOf(step.who), step.who.payload); err != nil || verified != step.want {
			t.Errorf("step %d: verified %d times, want %d; %v", i, verified, step.want, err)
		}
	}
}

// TestKnownPeerIsNobodyElse: neither its static key nor its identity is of use to
// others.
func TestKnownPeerIsNobodyElse(t *testing.T) {
	transport, known, thief := newTestTransport(t, everyone), newTestTransport(t, nil), newTestTransport(t, nil)
	for _, who := range []*Transport{known, thief} {
		if err := meet(t, transport, true, pairOf(who), who.payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := meet(t, transport, true, pairOf(thief), known.payload); !errors.Is(err, ErrSignature) {
		t.Errorf("the identity of another: %v", err)
	}
	if err := meet(t, transport, true, pairOf(known), thief.payload); !errors.Is(err, ErrSignature) {
		t.Errorf("the static key of another: %v", err)
	}
}

func TestKnownPeersAreBounded(t *testing.T) {
	known := newKnown()
	for range maxKnown + 10 {
		static := make([]byte, 32)
		rand.Read(static)
		known.add(static, "peer")
		if !known.has(static, "peer") || known.has(static, "other") {
			t.Fatal("the last one isn't known")
		}
	}
	if len(known.pairs) != maxKnown {
		t.Errorf("%d are known, want %d", len(known.pairs), maxKnown)
	}
}
