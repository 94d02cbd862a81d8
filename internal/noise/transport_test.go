package noise_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"

	"github.com/parley-p2p/parley/internal/noise"
)

func TestHandshakesWithGoLibp2p(t *testing.T) {
	muxers := []struct{ dialer, listener []protocol.ID }{
		{nil, nil},
		{[]protocol.ID{"/yamux"}, []protocol.ID{"/yamux"}},
		{[]protocol.ID{"/yamux"}, nil},
		{[]protocol.ID{"/a", "/b", "/c"}, []protocol.ID{"/c", "/b"}},
		{slices.Repeat([]protocol.ID{"/a"}, 101), []protocol.ID{"/a"}}, // too many
	}
	kinds := []int{crypto.Ed25519, crypto.Secp256k1}
	for _, sides := range [][2]maker{{ours, theirs}, {theirs, ours}, {ours, ours}} {
		for _, kind := range kinds {
			for i, offered := range muxers {
				t.Run(fmt.Sprintf("%s dials %s, key %d, muxers %d", sides[0].name, sides[1].name, kind, i), func(t *testing.T) {
					here, there := newKey(t, kind), newKey(t, kinds[i%len(kinds)])
					wantOut, wantIn := handshake(t, [2]maker{theirs, theirs}, here, there, offered.dialer, offered.listener)
					out, in := handshake(t, sides, here, there, offered.dialer, offered.listener)
					same(t, out, wantOut)
					same(t, in, wantIn)
					for _, size := range []int{1, 100, 65519, 65520, 300_000} {
						p := random(size)
						if !bytes.Equal(send(t, out, in, p), p) || !bytes.Equal(send(t, in, out, p), p) {
							t.Fatalf("%d bytes didn't arrive as they were sent", size)
						}
					}
				})
			}
		}
	}
}

func handshake(t *testing.T, sides [2]maker, here, there crypto.PrivKey, dialer, listener []protocol.ID) (out, in sec.SecureConn) {
	t.Helper()
	near, far := net.Pipe()
	o, i := shake(t, sides[0].new(t, here, dialer...), sides[1].new(t, there, listener...), idOf(t, there), near, far)
	if o.err != nil || i.err != nil {
		t.Fatal(o.err, i.err)
	}
	return o, i
}

// same compares what two connections say of themselves.
func same(t *testing.T, got, want sec.SecureConn) {
	t.Helper()
	if got.LocalPeer() != want.LocalPeer() || got.RemotePeer() != want.RemotePeer() ||
		!got.RemotePublicKey().Equals(want.RemotePublicKey()) {
		t.Errorf("from %s to %s, want from %s to %s", got.LocalPeer(), got.RemotePeer(), want.LocalPeer(), want.RemotePeer())
	}
	if got.ConnState() != want.ConnState() {
		t.Errorf("state %+v, want %+v", got.ConnState(), want.ConnState())
	}
}

func TestIsNegotiatedByTheSameName(t *testing.T) {
	key := newKey(t, crypto.Ed25519)
	if got, want := ours.new(t, key).ID(), theirs.new(t, key).ID(); got != want {
		t.Errorf("it is called %s, want %s", got, want)
	}
}

func TestNewRefusesKeysThatPeersWouldRefuse(t *testing.T) {
	for _, key := range []crypto.PrivKey{nil, newKey(t, crypto.RSA), newKey(t, crypto.ECDSA)} {
		if _, err := noise.New(noise.Config{Key: key}); !errors.Is(err, noise.ErrKeyKind) {
			t.Errorf("%T: %v", key, err)
		}
	}
}

func TestRefusesKindsOfKeysThatCostMore(t *testing.T) {
	for _, kind := range []int{crypto.RSA, crypto.ECDSA} {
		near, far := net.Pipe()
		key := newKey(t, crypto.Ed25519)
		_, in := shake(t, theirs.new(t, newKey(t, kind)), ours.new(t, key), idOf(t, key), near, far)
		if !errors.Is(in.err, noise.ErrKeyKind) {
			t.Errorf("listener, key %d: %v", kind, in.err)
		}
		near, far = net.Pipe()
		key = newKey(t, kind)
		out, _ := shake(t, ours.new(t, newKey(t, crypto.Ed25519)), theirs.new(t, key), idOf(t, key), near, far)
		if !errors.Is(out.err, noise.ErrKeyKind) {
			t.Errorf("dialer, key %d: %v", kind, out.err)
		}
	}
}

func TestRefusesAnotherPeerThanExpected(t *testing.T) {
	expected := idOf(t, newKey(t, crypto.Ed25519))
	here, there := newKey(t, crypto.Ed25519), newKey(t, crypto.Ed25519)
	check := func(who string, err error, actual peer.ID) {
		t.Helper()
		var mismatch sec.ErrPeerIDMismatch
		if !errors.As(err, &mismatch) || mismatch != (sec.ErrPeerIDMismatch{Expected: expected, Actual: actual}) {
			t.Errorf("%s: %v", who, err)
		}
	}
	near, far := net.Pipe()
	out, in := shake(t, ours.new(t, here), theirs.new(t, there), expected, near, far)
	check("dialer", out.err, idOf(t, there))
	if in.err == nil {
		t.Error("the other side didn't notice")
	}

	near, far = net.Pipe()
	go ours.new(t, here).SecureOutbound(t.Context(), near, idOf(t, there))
	_, err := ours.new(t, there).SecureInbound(t.Context(), far, expected)
	check("listener", err, idOf(t, here))
}

// TestEveryChangedByteIsNoticed flips a bit of each byte of a handshake: a message
// that was changed on its way never leads to a session of its receiver.
func TestEveryChangedByteIsNoticed(t *testing.T) {
	here, there := ours.new(t, newKey(t, crypto.Ed25519)), newKey(t, crypto.Ed25519)
	listener := ours.new(t, there)
	for message, step := range []int{1, 9, 9} {
		for at := 2; ; at += step {
			size := 0
			flip := func(n int) func(int, []byte) []byte {
				return func(write int, p []byte) []byte {
					if write == n {
						if size = len(p); at < size {
							p[at] ^= 0x20
						}
					}
					return p
				}
			}
			near, far := net.Pipe()
			var dial, listen net.Conn = near, far
			if message == 1 {
				listen = &change{Conn: far, by: flip(0)}
			} else {
				dial = &change{Conn: near, by: flip(message / 2)}
			}
			out, in := shake(t, here, listener, idOf(t, there), dial, listen)
			if at >= size {
				break
			}
			if in.err == nil || message < 2 && out.err == nil {
				t.Fatalf("message %d, byte %d: %v, %v", message, at, out.err, in.err)
			}
		}
	}
}

// TestListenerRefuses has a listener read what no peer of good will writes.
func TestListenerRefuses(t *testing.T) {
	frame := func(length int, p []byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(length)), p...)
	}
	tests := []struct {
		name  string
		bytes []byte
		want  error // in particular
	}{
		{"a connection that ends at once", nil, io.EOF},
		{"half a length", []byte{0}, io.ErrUnexpectedEOF},
		{"a message that is cut off", frame(32, make([]byte, 31)), io.ErrUnexpectedEOF},
		{"an empty message", frame(0, nil), nil},
		{"a key that is too short", frame(31, make([]byte, 31)), nil},
		{"a key of low order", frame(32, make([]byte, 32)), nil},
		{"another key of low order", frame(32, append([]byte{1}, make([]byte, 31)...)), nil},
		{"a message that is too large", frame(4095, nil), noise.ErrMessageTooLarge},
		{"the largest length", frame(65535, nil), noise.ErrMessageTooLarge},
	}
	listener := ours.new(t, newKey(t, crypto.Ed25519))
	for _, test := range tests {
		near, far := net.Pipe()
		go func() {
			near.Write(test.bytes)
			near.SetReadDeadline(time.Now().Add(-1)) // nothing is read
			near.Close()
		}()
		_, err := listener.SecureInbound(t.Context(), far, "")
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: the connection was left open", test.name)
		}
	}
}

func TestContextEndsAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		near, far := net.Pipe()
		begin := time.Now()
		_, err := ours.new(t, newKey(t, crypto.Ed25519)).SecureInbound(ctx, far, "")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if _, err := near.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
			t.Error("the connection was left open")
		}
	})
}

func TestContextOutlivesItsHandshake(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	near, far := net.Pipe()
	key := newKey(t, crypto.Ed25519)
	done := make(chan secured)
	go func() {
		c, err := ours.new(t, key).SecureInbound(ctx, far, "")
		done <- secured{c, err}
	}()
	out, err := ours.new(t, newKey(t, crypto.Ed25519)).SecureOutbound(ctx, near, idOf(t, key))
	in := <-done
	if err != nil || in.err != nil {
		t.Fatal(err, in.err)
	}
	cancel()
	if got := send(t, out, in, []byte("still open")); string(got) != "still open" {
		t.Errorf("got %q", got)
	}
	out.Close()
	in.Close()
}

// TestHandshakesAtOnce is for the race detector: a transport serves many.
func TestHandshakesAtOnce(t *testing.T) {
	key := newKey(t, crypto.Secp256k1)
	everyone := func(peer.ID) bool { return true }
	dialer := newTransport(t, noise.Config{Key: newKey(t, crypto.Ed25519), Remember: everyone})
	listener := newTransport(t, noise.Config{Key: key, Remember: everyone})
	failed := make(chan error)
	const many = 16
	for range many {
		go func() {
			near, far := net.Pipe()
			out, in := shake(t, dialer, listener, idOf(t, key), near, far)
			failed <- errors.Join(out.err, in.err)
		}()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}
