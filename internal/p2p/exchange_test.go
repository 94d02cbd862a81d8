package p2p

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

func TestTwoNodesExchangeFramesBothWays(t *testing.T) {
	for _, kinds := range [][2]identity.Kind{
		{identity.Ed25519, identity.Ed25519},
		{identity.Secp256k1, identity.Ed25519},
		{identity.Ed25519, identity.Secp256k1},
	} {
		t.Run(kinds[0].String()+" dials "+kinds[1].String(), func(t *testing.T) {
			a, b := newNodeWith(t, newKey(t, kinds[0])), newNodeWith(t, newKey(t, kinds[1]))
			a.admit(b)
			b.admit(a)
			ac, bc := connect(a, b)

			first, none := hello()
			request, body := a.request(1, []byte("a request"))
			a.do(
				fsm.Send{Conn: ac, Stream: 2, Frame: first, Payload: none},
				fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: body})
			greeted := want[fsm.Arrived](b)
			if greeted.Frame != first || greeted.Conn != bc || greeted.Stream%2 != 1 || greeted.Payload.Number != 0 {
				t.Fatalf("HELLO arrived as %+v", greeted)
			}
			arrived := want[fsm.Arrived](b)
			if arrived.Frame != request || arrived.Stream != greeted.Stream ||
				string(arrived.Payload.Inline) != "a request" || arrived.Payload.Number == 0 ||
				arrived.Payload.Hash != body.Hash || arrived.Payload.Size != body.Size {
				t.Fatalf("REQUEST arrived as %+v", arrived)
			}

			reply, answer := b.reply(request, []byte("a reply"))
			b.do(
				fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: ack(wire.OfRequest, request)},
				fsm.Send{Conn: bc, Stream: arrived.Stream, Frame: reply, Payload: answer})
			if got := want[fsm.Arrived](a); got.Stream != 2 || got.Conn != ac || got.Frame.Kind != wire.Ack {
				t.Fatalf("ACK arrived as %+v", got)
			}
			if got := want[fsm.Arrived](a); got.Frame != reply || string(got.Payload.Inline) != "a reply" {
				t.Fatalf("REPLY arrived as %+v", got)
			}

			a.do(
				fsm.Send{Conn: ac, Stream: 2, Frame: ack(wire.OfReply, reply)},
				fsm.Disconnect{Conn: ac, Graceful: true})
			if got := want[fsm.Arrived](b); got.Frame.Kind != wire.Ack {
				t.Fatalf("ACK arrived as %+v", got)
			}
			want[fsm.Closed](b)
			if got := want[fsm.Disconnected](a); !got.Clean || got.Err != nil || got.Conn != ac {
				t.Fatalf("the dialer's end was %+v", got)
			}
			if got := want[fsm.Disconnected](b); got.Clean || got.Err != nil || got.Conn != bc {
				t.Fatalf("the responder's end was %+v", got)
			}
		})
	}
}

func TestLargePayloadIsReadWhenAccepted(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10) // 3.2 MB
	request, payload := a.request(1, body)
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})

	offered := want[fsm.Offered](b)
	if offered.Frame != request {
		t.Fatalf("offered %+v", offered)
	}
	b.do(fsm.Accept{Conn: bc, Stream: offered.Stream})
	arrived := want[fsm.Arrived](b)
	if arrived.Payload.Inline != nil || arrived.Payload.Size != int64(len(body)) ||
		!bytes.Equal(b.payloads.get(arrived.Payload.Number), body) {
		t.Fatalf("arrived as %+v", arrived.Payload)
	}
	// The stream serves the next exchange too.
	again, small := a.request(2, []byte("small"))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: again, Payload: small})
	if got := want[fsm.Arrived](b); got.Frame != again {
		t.Fatalf("arrived %+v", got)
	}
}

func TestRefusedPayloadStopsAndResetsItsStream(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	request, payload := a.request(1, make([]byte, 32<<20)) // more than any window holds
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	offered := want[fsm.Offered](b)
	b.do(fsm.Send{Conn: bc, Stream: offered.Stream, Frame: nack(wire.OfRequest, request)})

	if got := want[fsm.Arrived](a); got.Frame.Kind != wire.Nack {
		t.Fatalf("got %+v, want the NACK before the end of the stream", got)
	}
	want[fsm.Closed](a)
	want[fsm.Closed](b)
	// The connection serves on.
	request, payload = a.request(2, []byte("small"))
	a.do(fsm.Send{Conn: ac, Stream: 4, Frame: request, Payload: payload})
	want[fsm.Arrived](b)
}

func TestRefusedPayloadThatWasWrittenAlreadyKeepsItsStream(t *testing.T) {
	b, peer := newNode(t), newRawPeer(t)
	c, bc := peer.dial(b)
	body := make([]byte, 100<<10)
	first, payload := b.request(1, body)
	second, _ := b.request(2, nil)
	message := appendFrames(t, nil, first)
	message = appendFrames(t, append(message, body...), second)
	_, rw := peer.send(c, message)

	offered := want[fsm.Offered](b)
	b.do(fsm.Send{Conn: bc, Stream: offered.Stream, Frame: nack(wire.OfRequest, first)})
	if got := want[fsm.Arrived](b); got.Frame != second || got.Stream != offered.Stream || got.Payload.Number != 0 {
		t.Fatalf("got %+v, want the frame behind the payload %d", got, payload.Number)
	}
	if got := readFrame(t, rw); got.Kind != wire.Nack {
		t.Fatalf("the peer was told %v", got.Kind)
	}
}

func TestResetIsNotAnsweredAndTheOtherSideHearsOnce(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	request, payload := a.request(1, []byte("x"))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	arrived := want[fsm.Arrived](b)
	b.do(fsm.Reset{Conn: bc, Stream: arrived.Stream})
	if got := want[fsm.Closed](a); got.Conn != ac || got.Stream != 2 {
		t.Fatalf("closed %+v", got)
	}
	// What is sent on an ended stream goes nowhere; another stream serves.
	a.do(
		fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload},
		fsm.Send{Conn: ac, Stream: 4, Frame: request, Payload: payload})
	if got := want[fsm.Arrived](b); got.Stream == arrived.Stream {
		t.Fatalf("arrived %+v", got)
	}
	a.do(fsm.Disconnect{Conn: ac})
	if got := want[fsm.Disconnected](a); got.Clean || got.Err != nil {
		t.Fatalf("disconnected %+v", got)
	}
	for {
		switch got := b.next().(type) {
		case fsm.Closed:
			if got.Stream == arrived.Stream {
				t.Fatalf("a reset was answered: %+v", got)
			}
		case fsm.Disconnected:
			return
		default:
			t.Fatalf("got %+v", got)
		}
	}
}

func TestGracefulDisconnectionLosesNothing(t *testing.T) {
	a, b := pair(t)
	for i := range uint64(140) {
		ac, _ := connect(a, b)
		request, payload := a.request(i+1, bytes.Repeat([]byte{byte(i)}, 1000))
		a.do(
			fsm.Send{Conn: ac, Stream: fsm.Stream(4*i + 2), Frame: request, Payload: payload},
			fsm.Send{Conn: ac, Stream: fsm.Stream(4*i + 4), Frame: ack(wire.OfReply, request)},
			fsm.Disconnect{Conn: ac, Graceful: true})
		kinds := map[wire.Kind]bool{}
		for ended := false; !ended; {
			switch got := b.next().(type) {
			case fsm.Arrived:
				kinds[got.Frame.Kind] = true
			case fsm.Disconnected:
				ended = true
				if got.Err != nil {
					t.Fatalf("round %d: %v", i, got.Err)
				}
			}
		}
		if !kinds[wire.Request] || !kinds[wire.Ack] {
			t.Fatalf("round %d: a frame was lost, only %v came", i, kinds)
		}
		if got := want[fsm.Disconnected](a); !got.Clean {
			t.Fatalf("round %d: not clean: %v", i, got.Err)
		}
	}
}

func TestSimultaneousDialsBothConnect(t *testing.T) {
	a, b := pair(t)
	for range 100 {
		a.do(fsm.Dial{Peer: b.peer()})
		b.do(fsm.Dial{Peer: a.peer()})
		var dialed []fsm.Connected
		for _, n := range []*node{a, b} {
			one, other := want[fsm.Connected](n), want[fsm.Connected](n)
			if one.Dialed == other.Dialed {
				t.Fatalf("connected as %+v and %+v", one, other)
			}
			if other.Dialed {
				one = other
			}
			dialed = append(dialed, one)
		}
		a.do(fsm.Disconnect{Conn: dialed[0].Conn, Graceful: true})
		b.do(fsm.Disconnect{Conn: dialed[1].Conn, Graceful: true})
		for _, n := range []*node{a, b} {
			want[fsm.Disconnected](n)
			want[fsm.Disconnected](n)
		}
	}
}

func TestSlowPeerHoldsUpNobodyElse(t *testing.T) {
	a, peer := newNode(t), newRawPeer(t)
	_, ac := peer.dial(a) // and never accepts a stream
	b := newNode(t)
	a.admit(b)
	b.admit(a)
	abc, _ := connect(a, b)

	request, payload := a.request(1, make([]byte, 60<<10))
	for range 4 * maxQueued {
		a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	}
	if got := want[fsm.Closed](a); got.Conn != ac {
		t.Fatalf("closed %+v", got)
	}
	a.do(fsm.Send{Conn: abc, Stream: 4, Frame: request, Payload: payload})
	want[fsm.Arrived](b)
}

func TestPayloadThatCannotBeStoredEndsItsStreamOnly(t *testing.T) {
	a, b := pair(t)
	b.payloads.failing = io.ErrShortWrite
	ac, bc := connect(a, b)
	request, payload := a.request(1, make([]byte, 1<<20))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	b.do(fsm.Accept{Conn: bc, Stream: want[fsm.Offered](b).Stream})
	b.wantNotice(fsm.MessageDropped)
	want[fsm.Closed](b)
	want[fsm.Closed](a)
	if b.payloads.aborted != 1 {
		t.Errorf("%d payloads were aborted, want 1", b.payloads.aborted)
	}
	ok := ack(wire.OfReply, request)
	a.do(fsm.Send{Conn: ac, Stream: 4, Frame: ok})
	want[fsm.Arrived](b)
}

// A stream may be reset while the payload on it is stored: nothing of it stays.
func TestPayloadOfAResetStreamIsDropped(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	request, payload := a.request(1, make([]byte, 1<<20))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	offered := want[fsm.Offered](b)
	reset := make(chan struct{})
	b.payloads.stored = func() {
		defer close(reset)
		b.do(fsm.Reset{Conn: bc, Stream: offered.Stream})
		b.do() // the reset has been carried out
	}
	b.do(fsm.Accept{Conn: bc, Stream: offered.Stream})
	want[fsm.Closed](a)
	<-reset // the node takes nothing any more once it is closed
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for over := false; !over; {
		select {
		case in := <-b.Receiver():
			if _, ok := in.(fsm.Arrived); ok {
				t.Errorf("the machine heard of it: %+v", in)
			}
		default:
			over = true
		}
	}
	if b.payloads.dropped != 1 || len(b.payloads.bodies) != 0 {
		t.Errorf("%d payloads were dropped and %d are kept", b.payloads.dropped, len(b.payloads.bodies))
	}
}

func TestCloseEndsEverything(t *testing.T) {
	a, b := pair(t)
	ac, bc := connect(a, b)
	request, payload := a.request(1, make([]byte, 8<<20))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	b.do(fsm.Accept{Conn: bc, Stream: want[fsm.Offered](b).Stream})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for { // the other side notices
		if _, ok := a.next().(fsm.Disconnected); ok {
			return
		}
	}
}

func TestStreamsAreLimited(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"in number": func(c *Config) { c.MaxStreamsPerConnection = 3 },
		"in memory": func(c *Config) { c.MaxWindowMemoryPerPeer = 3 * window },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newNode(t), newNode(t, change)
			a.admit(b)
			b.admit(a)
			ac, _ := connect(a, b)
			request, payload := a.request(1, []byte("x"))
			for i := range fsm.Stream(3) {
				a.do(fsm.Send{Conn: ac, Stream: 2*i + 2, Frame: request, Payload: payload})
				want[fsm.Arrived](b)
			}
			a.do(fsm.Send{Conn: ac, Stream: 8, Frame: request, Payload: payload})
			if got := b.wantNotice(fsm.ConnectionLimit); got.Peer != a.peer() {
				t.Errorf("noticed %+v", got)
			}
			switch got := a.next().(type) { // the stream or, for want of memory, the connection
			case fsm.Closed, fsm.Disconnected:
			default:
				t.Fatalf("got %+v", got)
			}
		})
	}
	t.Run("those of this node too", func(t *testing.T) {
		a, b := newNode(t, func(c *Config) { c.MaxStreamsPerConnection = 1 }), newNode(t)
		a.admit(b)
		b.admit(a)
		ac, _ := connect(a, b)
		request, payload := a.request(1, []byte("x"))
		a.do(
			fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload},
			fsm.Send{Conn: ac, Stream: 4, Frame: request, Payload: payload})
		if got := want[fsm.Closed](a); got.Stream != 4 {
			t.Errorf("closed %+v", got)
		}
	})
}

func TestHelloOfSeveralPieces(t *testing.T) {
	a, b := pair(t)
	ac, _ := connect(a, b)
	open := bytes.Repeat([]byte{1}, 60_000)
	for len(open) < 200_000 {
		open = append(open, 0x80, 1)
	}
	p := fsm.Payload{Hash: sha256.Sum256(open), Size: int64(len(open)), Inline: open}
	frame := wire.Frame{Kind: wire.Hello, Epoch: 1, Next: 1 << 40, Hash: p.Hash, Size: uint64(p.Size)}
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: frame, Payload: p})
	if got := want[fsm.Arrived](b); !bytes.Equal(got.Payload.Inline, open) || got.Payload.Number != 0 {
		t.Errorf("arrived with %d bytes", len(got.Payload.Inline))
	}
}

// A peer that negotiates step by step, and asks for another protocol first, is
// answered too.
func TestNegotiationStepByStep(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	c, _ := peer.dial(n)
	s, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := multistream.SelectOneOf([]protocol.ID{"/parley/exchange/9", exchangeProtocol}, s)
	if err != nil || chosen != exchangeProtocol {
		t.Fatalf("chose %q: %v", chosen, err)
	}
	frame := ack(wire.OfReply, wire.Frame{Epoch: 1, Seq: 1, Hash: wire.Hash{1}})
	if _, err := s.Write(appendFrames(t, nil, frame)); err != nil {
		t.Fatal(err)
	}
	want[fsm.Arrived](n)
}

// What is queued on a stream goes out together, and with the first frame the
// answer of the negotiation.
func TestFramesQueuedTogetherAreOneWrite(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	c, conn := peer.dial(n)
	request := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: sha256.Sum256(nil)}
	s, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := "\x13/multistream/1.0.0\n\x13/parley/exchange/1\n"
	if _, err := s.Write(appendFrames(t, []byte(hello), request)); err != nil {
		t.Fatal(err)
	}
	at := want[fsm.Arrived](n)
	reply, payload := n.reply(request, []byte("a reply"))
	n.do(
		fsm.Send{Conn: conn, Stream: at.Stream, Frame: ack(wire.OfRequest, request)},
		fsm.Send{Conn: conn, Stream: at.Stream, Frame: reply, Payload: payload})
	all := append(appendFrames(t, []byte(hello), ack(wire.OfRequest, request), reply), "a reply"...)
	got := make([]byte, 2*len(all))
	read, err := s.Read(got) // yamux hands out one of its frames at a time
	if err != nil || !bytes.Equal(got[:read], all) {
		t.Errorf("read %q: %v", got[:read], err)
	}
}

func TestGracefulDisconnectionDoesNotWaitForEver(t *testing.T) {
	n, peer := newNode(t, func(c *Config) { c.CloseTimeout = 50 * time.Millisecond }), newRawPeer(t)
	c, conn := peer.dial(n)
	peer.send(c, appendFrames(t, nil, ack(wire.OfReply, wire.Frame{Epoch: 1, Seq: 1, Hash: wire.Hash{1}})))
	want[fsm.Arrived](n)
	n.do(fsm.Disconnect{Conn: conn, Graceful: true}) // and the peer doesn't end its side
	if got := want[fsm.Disconnected](n); got.Clean || got.Err != nil {
		t.Errorf("disconnected %+v", got)
	}
}

func TestDisconnectingAnIdleConnectionIsClean(t *testing.T) {
	a, b := pair(t)
	ac, _ := connect(a, b)
	a.do(fsm.Disconnect{Conn: ac, Graceful: true}, fsm.Disconnect{Conn: ac, Graceful: true})
	if got := want[fsm.Disconnected](a); !got.Clean || got.Err != nil {
		t.Errorf("disconnected %+v", got)
	}
	if got := want[fsm.Disconnected](b); got.Clean || got.Err != nil {
		t.Errorf("the other side: %+v", got)
	}
	// Actions on what is gone are nothing.
	request, payload := a.request(1, []byte("x"))
	a.do(
		fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload},
		fsm.Accept{Conn: ac, Stream: 2}, fsm.Reset{Conn: ac, Stream: 2}, fsm.Disconnect{Conn: ac})
	a.do()
	a.quiet()
}

func TestOperatorDisconnectsAndShuns(t *testing.T) {
	a, b := pair(t)
	connect(a, b)
	a.DisconnectPeer(b.peer())
	if got := want[fsm.Disconnected](a); got.Err != nil {
		t.Errorf("disconnected %+v", got)
	}
	want[fsm.Disconnected](b)
	connect(a, b)
	a.do(fsm.Shun{Peer: b.peer(), Until: time.Now().Add(time.Hour)})
	if got := want[fsm.Disconnected](a); !errors.Is(got.Err, ErrShunned) {
		t.Errorf("disconnected %+v", got)
	}
	want[fsm.Disconnected](b)
	a.do(fsm.Dial{Peer: b.peer()})
	if got := want[fsm.DialFailed](a); !errors.Is(got.Err, ErrShunned) {
		t.Errorf("dialled: %v", got.Err)
	}
}
