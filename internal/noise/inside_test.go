package noise

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"

	"github.com/flynn/noise"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// These tests look inside, or play a peer that no transport would.

func newTestTransport(t testing.TB, remember func(peer.ID) bool) *Transport {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := New(Config{Key: key, Remember: remember})
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func everyone(peer.ID) bool { return true }

// meet has a transport make a handshake, as dialer or as listener, with a peer who
// has a static key of his choice and sends a payload of his choice. It returns what
// the transport makes of it.
func meet(t testing.TB, transport *Transport, dialled bool, static noise.DHKey, payload []byte) error {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer near.Close()
		state, err := noise.NewHandshakeState(noise.Config{
			CipherSuite: primitives, Pattern: noise.HandshakeXX, Initiator: dialled, StaticKeypair: static,
		})
		if err != nil {
			t.Error(err)
			return
		}
		h := &handshake{session: newSession(near, ""), state: state}
		if dialled {
			h.send(nil)
		}
		if _, _, _, err := h.receive(); err == nil {
			h.send(payload)
		}
		io.Copy(io.Discard, near)
	}()
	run := transport.initiate
	if dialled {
		run = transport.respond
	}
	return run(newSession(far, transport.id), expectation{})
}

// pairOf is a transport's static key as others would hold it.
func pairOf(t *Transport) noise.DHKey {
	return noise.DHKey{Private: t.static.Bytes(), Public: t.static.PublicKey().Bytes()}
}

// ciphered is a session without a handshake.
func ciphered(conn net.Conn) *session {
	s := newSession(conn, "")
	s.begin(remote{}, noise.UnsafeNewCipherState(primitives, [32]byte{1}, 0), noise.UnsafeNewCipherState(primitives, [32]byte{1}, 0))
	return s
}

func TestReadSkipsMessagesThatCarryNothing(t *testing.T) {
	near, far := net.Pipe()
	out, in := ciphered(near), ciphered(far)
	go func() {
		defer near.Close()
		for range 3 {
			frame, err := out.out.cipher.Encrypt([]byte{0, tag}, nil, nil)
			if err != nil {
				t.Error(err)
			}
			near.Write(frame)
		}
		out.Write([]byte("hello"))
	}()
	for _, want := range []string{"he", "llo", ""} {
		p := make([]byte, max(len(want), 1))
		n, err := io.ReadFull(in, p)
		if string(p[:n]) != want || want == "" && err != io.EOF {
			t.Errorf("got %q, %v, want %q", p[:n], err, want)
		}
	}
}

// TestIdleSessionHoldsNoLargeBuffer: it is there for one large message.
func TestIdleSessionHoldsNoLargeBuffer(t *testing.T) {
	near, far := net.Pipe()
	out, in := ciphered(near), ciphered(far)
	go func() {
		out.Write(bytes.Repeat([]byte{7}, 10_000))
		out.Write([]byte("small"))
	}()
	p := make([]byte, 10_000)
	if _, err := io.ReadFull(in, p[:9_999]); err != nil || in.in.large == nil {
		t.Fatal("no large buffer while a message is read", err)
	}
	if _, err := io.ReadFull(in, p[9_999:]); err != nil || in.in.large != nil {
		t.Fatal("a large buffer was kept", err)
	}
	if n, err := in.Read(p); string(p[:n]) != "small" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
}
