package p2p

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// rawPeer is a peer that keeps to libp2p but not to the protocol.
type rawPeer struct {
	t   testing.TB
	key identity.Key
	*stack
}

func newRawPeer(t testing.TB) *rawPeer {
	t.Helper()
	config, err := Config{Key: newKey(t, identity.Ed25519), Allow: allowlist.Everyone(), Payloads: newMemory(), StockNoise: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	stack, err := newStack(config, newGate(config, "", newNotices()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.resources.Close() })
	return &rawPeer{t, config.Key, stack}
}

func (r *rawPeer) peer() fsm.Peer { return fsm.Peer(r.key.PeerID().Bytes()) }

// dial connects to a node that admits the peer from now on.
func (r *rawPeer) dial(n *node) (transport.CapableConn, fsm.Conn) {
	r.t.Helper()
	if err := n.list.Add(allowlist.Member{ID: r.key.PeerID()}); err != nil {
		r.t.Fatal(err)
	}
	address, err := ma.NewMultiaddr(n.Addresses()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := r.transport.Dial(context.Background(), address, n.self)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c, want[fsm.Connected](n).Conn
}

// open opens a stream and returns it with its protocol negotiated.
func (r *rawPeer) open(c transport.CapableConn) (network.MuxedStream, io.ReadWriter) {
	r.t.Helper()
	s, err := c.OpenStream(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return s, multistream.NewMSSelect(s, exchangeProtocol)
}

// send opens a stream and writes these bytes.
func (r *rawPeer) send(c transport.CapableConn, b []byte) (network.MuxedStream, io.ReadWriter) {
	r.t.Helper()
	s, rw := r.open(c)
	if _, err := rw.Write(b); err != nil {
		r.t.Fatal(err)
	}
	return s, rw
}

// proxy carries TCP connections to a node until it is silenced: then nothing
// comes through any more, and nothing is closed.
type proxy struct {
	net.Listener
	silent  chan struct{}
	mu      sync.Mutex
	sockets []net.Conn
	running sync.WaitGroup
}

func newProxy(t testing.TB, n *node) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, silent: make(chan struct{})}
	target := n.listeners[0].Addr().String()
	p.running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				return
			}
			p.mu.Lock()
			p.sockets = append(p.sockets, in, out)
			p.mu.Unlock()
			p.running.Go(func() { p.carry(in, out) })
			p.running.Go(func() { p.carry(out, in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, s := range p.sockets {
			s.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *proxy) carry(from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		select {
		case <-p.silent:
			continue
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}
