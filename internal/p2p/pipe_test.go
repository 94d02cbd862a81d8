package p2p

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// pipes is a connection without a network, for tests on fake time: each stream
// is a net.Pipe, where a write waits until all of it has been read.
type pipes struct {
	transport.CapableConn
	id      peer.ID
	streams chan network.MuxedStream
	opened  []pipe // by the test, which opens none while the connection closes
	once    sync.Once
	over    chan struct{}
}

// servePipes has a node without a listener serve such a connection. The test
// runs within a bubble of synctest.
func servePipes(t *testing.T) (*node, *pipes) {
	t.Helper()
	n := listenWithout(t)
	return n, n.servePipes(newKey(t, identity.Ed25519).PeerID())
}

// listenWithout is a node without a listener, which admits everyone.
func listenWithout(t *testing.T, change ...func(*Config)) *node {
	t.Helper()
	n := &node{t: t, key: newKey(t, identity.Ed25519), payloads: newMemory()}
	config := Config{Key: n.key, Allow: allowlist.Everyone(), Payloads: n.payloads, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&config)
	}
	n.list = config.Allow
	var err error
	if n.Protocol, err = Listen(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

// servePipes has the node serve a connection of this peer.
func (n *node) servePipes(id identity.ID) *pipes {
	n.t.Helper()
	c := &pipes{
		id:      idOf(fsm.Peer(id.Bytes())),
		streams: make(chan network.MuxedStream),
		over:    make(chan struct{}),
	}
	n.serve(c, "/ip4/192.0.2.1/tcp/4001", false, nil)
	want[fsm.Connected](n)
	return c
}

// open gives the node a stream and returns its other end.
func (c *pipes) open() net.Conn {
	here, there := net.Pipe()
	here.SetDeadline(time.Now().Add(time.Hour)) // of fake time: no test hangs
	c.opened = append(c.opened, pipe{there})
	c.streams <- pipe{there}
	return here
}

func (c *pipes) AcceptStream() (network.MuxedStream, error) {
	select {
	case s := <-c.streams:
		return s, nil
	case <-c.over:
		return nil, net.ErrClosed
	}
}

func (c *pipes) RemotePeer() peer.ID { return c.id }

func (c *pipes) Close() error {
	c.once.Do(func() {
		close(c.over)
		for _, s := range c.opened {
			s.Close()
		}
	})
	return nil
}

// pipe is one end of a stream.
type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error                            { return p.Close() }
func (p pipe) CloseRead() error                             { return p.Close() }
func (p pipe) Reset() error                                 { return p.Close() }
func (p pipe) ResetWithError(network.StreamErrorCode) error { return p.Close() }

// write writes to the node, which reads all of it.
func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

const greeting = "\x13/multistream/1.0.0\n\x13/parley/exchange/1\n"

func TestNegotiationWithAPeerThatDoesNotReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		s := c.open()
		write(t, s, []byte(greeting)) // and the answer isn't read
		synctest.Wait()
		if got := open(n); got != 1 {
			t.Fatalf("%d streams are open, want 1", got)
		}
		time.Sleep(n.config.FrameTimeout)
		synctest.Wait()
		if got := open(n); got != 0 {
			t.Errorf("%d streams are open after FrameTimeout", got)
		}
		n.quiet()
	})
}

func TestNegotiationWithoutEndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		s := c.open()
		write(t, s, []byte(greeting[:20]))
		answered := 0
		go io.Copy(io.Discard, s)
		for range maxAnswers {
			if _, err := s.Write([]byte("\x03/x\n")); err != nil {
				break
			}
			answered++
		}
		if answered*len("\x03na\n") > maxAnswers {
			t.Errorf("%d questions were answered", answered)
		}
		synctest.Wait()
		if got := open(n); got != 0 {
			t.Errorf("%d streams are open", got)
		}
	})
}

// open counts the streams that a node serves.
func open(n *node) int {
	count := 0
	for _, c := range n.all() {
		c.mu.Lock()
		count += len(c.streams)
		c.mu.Unlock()
	}
	return count
}

// The peer may refuse a large payload as soon as it has read its header.
func TestQuickRefusalStopsThePayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		s := c.open()
		first := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: sha256.Sum256(nil)}
		write(t, s, appendFrames(t, []byte(greeting), first))
		at := want[fsm.Arrived](n)

		reply, payload := n.reply(first, make([]byte, 1<<20))
		n.do(fsm.Send{Conn: at.Conn, Stream: at.Stream, Frame: reply, Payload: payload})
		head := appendFrames(t, []byte(greeting), reply)
		if _, err := io.ReadFull(s, head[:len(head)-1]); err != nil {
			t.Fatal(err)
		}
		write(t, s, appendFrames(t, nil, nack(wire.OfReply, reply)))
		if got := want[fsm.Arrived](n); got.Frame.Kind != wire.Nack {
			t.Fatalf("got %+v", got)
		}
		if more, err := io.Copy(io.Discard, s); err != nil || more > piece {
			t.Errorf("%d bytes came after the refusal: %v", more, err)
		}
		want[fsm.Closed](n)
	})
}

// A peer can't make this node hold a HELLO on each of its streams.
func TestHellosAreReadOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		body := bytes.Repeat([]byte{1}, 100<<10)
		large := wire.Frame{Kind: wire.Hello, Epoch: 1, Next: 1 << 40, Hash: sha256.Sum256(body), Size: uint64(len(body))}
		small, _ := hello()
		other := ack(wire.OfReply, wire.Frame{Epoch: 1, Seq: 1, Hash: wire.Hash{1}})

		slow := c.open()
		write(t, slow, append(appendFrames(t, []byte(greeting), large), body[:len(body)/2]...))
		synctest.Wait()
		second := c.open()
		write(t, second, appendFrames(t, []byte(greeting), small))
		third := c.open()
		write(t, third, appendFrames(t, []byte(greeting), other))
		if got := want[fsm.Arrived](n); got.Frame != other {
			t.Errorf("%s arrived while another stream reads a HELLO", got.Frame.Kind)
		}
		synctest.Wait()
		n.quiet()

		write(t, slow, body[len(body)/2:])
		for _, frame := range []wire.Frame{large, small} {
			if got := want[fsm.Arrived](n); got.Frame != frame {
				t.Errorf("got %+v, want %+v", got.Frame, frame)
			}
		}
	})
}

// A HELLO that isn't finished holds up the others no longer than its deadline.
func TestHelloThatEndsLetsTheNextOneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := servePipes(t)
		large := wire.Frame{Kind: wire.Hello, Epoch: 1, Next: 1 << 40, Hash: wire.Hash{1}, Size: 100 << 10}
		small, _ := hello()
		write(t, c.open(), appendFrames(t, []byte(greeting), large))
		synctest.Wait()
		write(t, c.open(), appendFrames(t, []byte(greeting), small))
		time.Sleep(n.config.FrameTimeout)
		if got := want[fsm.Arrived](n); got.Frame != small {
			t.Errorf("got %+v", got.Frame)
		}
		n.wantNotice(fsm.MessageDropped)
	})
}
