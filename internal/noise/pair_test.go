package noise_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	stock "github.com/libp2p/go-libp2p/p2p/security/noise"
	"go.uber.org/goleak"

	"github.com/parley-p2p/parley/internal/noise"
)

// peerProcess is where a process ends that is the other side of a benchmark.
var peerProcess = func() {}

func TestMain(m *testing.M) {
	peerProcess()
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// maker makes one of the two transports.
type maker struct {
	name string
	new  func(testing.TB, crypto.PrivKey, ...protocol.ID) sec.SecureTransport
}

var (
	ours = maker{"ours", func(t testing.TB, key crypto.PrivKey, muxers ...protocol.ID) sec.SecureTransport {
		return newTransport(t, noise.Config{Key: key, Muxers: muxers})
	}}
	theirs = maker{"go-libp2p's", func(t testing.TB, key crypto.PrivKey, muxers ...protocol.ID) sec.SecureTransport {
		t.Helper()
		var offered []tptu.StreamMuxer
		for _, id := range muxers {
			offered = append(offered, tptu.StreamMuxer{ID: id})
		}
		s, err := stock.New(stock.ID, key, offered)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}}
)

func newTransport(t testing.TB, c noise.Config) *noise.Transport {
	t.Helper()
	transport, err := noise.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func newKey(t testing.TB, kind int) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateKeyPair(kind, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func idOf(t testing.TB, key crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// secured is what one side of a handshake returns.
type secured struct {
	sec.SecureConn
	err error
}

// shake has two transports make a handshake over the two ends of a connection.
func shake(t testing.TB, dialer, listener sec.SecureTransport, dialled peer.ID, near, far net.Conn) (out, in secured) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan secured)
	go func() {
		c, err := listener.SecureInbound(ctx, far, "")
		done <- secured{c, err}
	}()
	c, err := dialer.SecureOutbound(ctx, near, dialled)
	out, in = secured{c, err}, <-done
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return out, in
}

// sessions is a pair of ours after its handshake.
func sessions(t testing.TB, near, far net.Conn) (out, in sec.SecureConn) {
	t.Helper()
	key := newKey(t, crypto.Ed25519)
	o, i := shake(t, ours.new(t, newKey(t, crypto.Ed25519)), ours.new(t, key), idOf(t, key), near, far)
	if o.err != nil || i.err != nil {
		t.Fatal(o.err, i.err)
	}
	return o, i
}

// change is a connection whose writes, counted from 0, are changed on their way.
type change struct {
	net.Conn
	writes int
	by     func(write int, p []byte) []byte
}

func (c *change) Write(p []byte) (int, error) {
	q := c.by(c.writes, append([]byte(nil), p...))
	c.writes++
	if len(q) > 0 {
		if _, err := c.Conn.Write(q); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// send writes while the other end reads as much.
func send(t testing.TB, from io.Writer, to io.Reader, p []byte) []byte {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		_, err := from.Write(p)
		failed <- err
	}()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return got
}

// random is something to send.
func random(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	return p
}
