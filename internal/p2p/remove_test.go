package p2p

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// recorder counts what passes the sockets of a node.
type recorder struct {
	net.Listener
	read, written atomic.Int64
	frozen        atomic.Bool  // nothing may pass any more
	late          atomic.Int64 // bytes of calls that began when it was
}

func (r *recorder) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorded{c.(*net.TCPConn), r}, nil
}

func (r *recorder) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &recorded{c.(*net.TCPConn), r}, nil
}

type recorded struct {
	*net.TCPConn
	to *recorder
}

func (c *recorded) Read(b []byte) (int, error)  { return c.record(&c.to.read, c.TCPConn.Read, b) }
func (c *recorded) Write(b []byte) (int, error) { return c.record(&c.to.written, c.TCPConn.Write, b) }

func (c *recorded) record(passed *atomic.Int64, do func([]byte) (int, error), b []byte) (int, error) {
	frozen := c.to.frozen.Load()
	n, err := do(b)
	passed.Add(int64(n))
	if frozen {
		c.to.late.Add(int64(n))
	}
	return n, err
}

// newRecordedNode is a node whose sockets are recorded, of both directions.
func newRecordedNode(t *testing.T) (*node, *recorder) {
	t.Helper()
	n := newNode(t, func(c *Config) {
		c.Listen, c.MaxArrivalsPerSecondPerIP, c.MaxHandshakesPerSecond = nil, 1000, 1000
	})
	address, err := listenAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := listenTCP(address)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: sockets}
	l, err := n.upgrade(r)
	if err != nil {
		t.Fatal(err)
	}
	n.sockets = r
	n.listeners = append(n.listeners, l) // for Close
	n.running.Go(func() { n.accept(l) })
	return n, r
}

// echo answers each frame on its stream, as fast as they come, until all of so many
// connections are over. When they are up it sends on each a few frames of its own.
func (n *node) echo(connections int, up func()) {
	frame, payload := n.reply(wire.Frame{Epoch: 1, Seq: 1, Tag: wire.Tag{1}}, make([]byte, 4<<10))
	stream := fsm.Stream(rand.Uint64N(1<<40) * 1000)
	connected := 0
	for connections > 0 {
		switch in := n.next().(type) {
		case fsm.Connected:
			if connected++; connected == connections {
				up()
			}
			for range 4 {
				stream += 2
				n.do(fsm.Send{Conn: in.Conn, Stream: stream, Frame: frame, Payload: payload})
			}
		case fsm.Arrived:
			n.do(fsm.Send{Conn: in.Conn, Stream: in.Stream, Frame: frame, Payload: payload})
		case fsm.Disconnected:
			connections--
		}
	}
}

// When Remove returns nothing more passes the sockets of the peer, though traffic
// was under way on several connections of both directions.
func TestNothingPassesTheSocketsOfARemovedPeer(t *testing.T) {
	a, sockets := newRecordedNode(t)
	b := newNode(t, func(c *Config) { c.MaxArrivalsPerSecondPerIP = 1000 })
	b.admit(a)
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		a.admit(b)
		var echoing, up sync.WaitGroup
		up.Add(2)
		echoing.Go(func() { a.echo(4, up.Done) })
		echoing.Go(func() { b.echo(4, up.Done) })
		for range 2 {
			a.do(fsm.Dial{Peer: b.peer()})
			b.do(fsm.Dial{Peer: a.peer()})
		}
		up.Wait()
		for began := sockets.read.Load(); sockets.read.Load() < began+int64(rand.N(1<<20)); {
			time.Sleep(100 * time.Microsecond) // for traffic
		}

		a.list.Remove(b.key.PeerID())
		sockets.frozen.Store(true)
		read, written := sockets.read.Load(), sockets.written.Load()
		echoing.Wait()
		if late := sockets.late.Load(); late != 0 || sockets.read.Load() != read || sockets.written.Load() != written {
			t.Fatalf("round %d: %d bytes were read and %d written after Remove, %d in calls that began after it",
				round, sockets.read.Load()-read, sockets.written.Load()-written, late)
		}
		a.gate.mu.Lock()
		left := len(a.gate.sockets)
		a.gate.mu.Unlock()
		if left != 0 {
			t.Fatalf("round %d: %d sockets are open", round, left)
		}
		sockets.frozen.Store(false)
	}
}

// The same for a peer that is removed while connections of both directions are made.
func TestNothingPassesTheSocketsOfAPeerRemovedInItsHandshake(t *testing.T) {
	a, sockets := newRecordedNode(t)
	b := newNode(t, func(c *Config) { c.MaxArrivalsPerSecondPerIP = 1000 })
	b.admit(a)
	b.ignore() // it may be connected for a moment
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	dialling := func(n, other *node) <-chan struct{} {
		ended := make(chan struct{})
		n.do(fsm.Dial{Peer: other.peer(), Addresses: other.Addresses()})
		go func() {
			defer close(ended)
			for {
				switch in := n.next().(type) {
				case fsm.DialFailed:
					return
				case fsm.Disconnected:
					return
				case fsm.Connected:
					if !in.Dialed {
						continue
					}
				}
			}
		}()
		return ended
	}
	for round := range rounds {
		if err := a.list.Add(allowlist.Member{ID: b.key.PeerID()}); err != nil {
			t.Fatal(err)
		}
		ended := dialling(a, b)
		time.Sleep(rand.N(4 * time.Millisecond)) // anywhere in the handshake
		a.list.Remove(b.key.PeerID())
		sockets.frozen.Store(true)
		<-ended
		if late := sockets.late.Load(); late != 0 {
			t.Fatalf("round %d: %d bytes passed in calls that began after Remove", round, late)
		}
		sockets.frozen.Store(false)
	}
}

// ignore passes over what a node reports, until the test ends.
func (n *node) ignore() {
	go func() {
		for {
			select {
			case <-n.Receiver():
			case <-n.t.Context().Done():
				return
			}
		}
	}()
}
