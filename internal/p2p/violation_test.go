package p2p

import (
	"bufio"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

func appendFrames(t testing.TB, dst []byte, frames ...wire.Frame) []byte {
	t.Helper()
	for _, f := range frames {
		var err error
		if dst, err = f.AppendTo(dst); err != nil {
			t.Fatal(err)
		}
	}
	return dst
}

func readFrame(t testing.TB, r io.Reader) wire.Frame {
	t.Helper()
	f, err := wire.ReadFrame(bufio.NewReader(r))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestViolationDisconnectsAndShuns(t *testing.T) {
	wrong := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: wire.Hash{1}, Size: 3}
	large := wrong
	large.Size = 100 << 10
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"text of another protocol": {
			[]byte("GET / HTTP/1.1\r\nHost: parley.example.org:4001\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n"),
			"kind has the wrong protobuf type"},
		"a header that is too long": {[]byte{0xff, 0xff, 0x7f}, "header longer than 4096 bytes"},
		"a wrong hash":              {append(appendFrames(t, nil, wrong), "abc"...), "REQUEST whose payload does not match its hash"},
		"a wrong hash of a large payload": {
			append(appendFrames(t, nil, large), make([]byte, 100<<10)...), "REQUEST whose payload does not match its hash"},
	} {
		t.Run(name, func(t *testing.T) {
			n, peer := newNode(t), newRawPeer(t)
			c, conn := peer.dial(n)
			_, rw := peer.send(c, test.bytes)

			var told fsm.Violated
			for ended := false; !ended; {
				switch got := n.next().(type) {
				case fsm.Offered:
					n.do(fsm.Accept{Conn: conn, Stream: got.Stream})
				case fsm.Disconnected:
					var violation *ViolationError
					if !errors.As(got.Err, &violation) || got.Clean {
						t.Fatalf("disconnected %+v", got)
					}
					ended = true
				case fsm.Violated:
					told = got
				case fsm.Progress:
				default:
					t.Fatalf("got %T %+v", got, got)
				}
			}
			if told.Conn != conn || (test.rule != told.Rule && name != "text of another protocol") {
				t.Errorf("told %+v", told)
			}
			if _, err := io.Copy(io.Discard, rw); err == nil {
				t.Error("the peer's stream ended in an orderly way")
			}
			n.do(fsm.Dial{Peer: peer.peer(), Addresses: n.Addresses()})
			if got := want[fsm.DialFailed](n); !errors.Is(got.Err, ErrShunned) {
				t.Errorf("dial of a shunned peer: %v", got.Err)
			}
		})
	}
}

func TestViolationEndsEveryConnectionWithThePeer(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	one, first := peer.dial(n)
	_, second := peer.dial(n)
	peer.send(one, []byte{0xff, 0xff, 0x7f})
	n.wantShunned(first, second)

	m, other := newNode(t), newRawPeer(t)
	_, first = other.dial(m)
	_, second = other.dial(m)
	m.do(fsm.Shun{Peer: other.peer(), Until: time.Now().Add(time.Hour)})
	m.wantShunned(first, second)
}

func TestPeerThatHangsUpAfterAViolationIsKeptOut(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	c, _ := peer.dial(n)
	c.Close()
	want[fsm.Disconnected](n)
	n.do(fsm.Shun{Peer: peer.peer(), Until: time.Now().Add(time.Hour)})
	n.do(fsm.Dial{Peer: peer.peer(), Addresses: n.Addresses()})
	if got := want[fsm.DialFailed](n); !errors.Is(got.Err, ErrShunned) {
		t.Errorf("dial of a shunned peer: %v", got.Err)
	}
}

// wantShunned waits until these connections are over and a dial is refused.
func (n *node) wantShunned(first, second fsm.Conn) {
	n.t.Helper()
	var ends []fsm.Disconnected
	for len(ends) < 2 {
		switch got := n.next().(type) {
		case fsm.Disconnected:
			ends = append(ends, got)
		case fsm.Violated:
		default:
			n.t.Fatalf("got %T %+v", got, got)
		}
	}
	one, other := ends[0], ends[1]
	if one.Conn+other.Conn != first+second || one.Err == nil || other.Err == nil {
		n.t.Fatalf("disconnected %+v and %+v", one, other)
	}
	for _, m := range n.list.Members() {
		n.do(fsm.Dial{Peer: fsm.Peer(m.ID.Bytes()), Addresses: n.Addresses()})
		if got := want[fsm.DialFailed](n); !errors.Is(got.Err, ErrShunned) {
			n.t.Errorf("dial of a shunned peer: %v", got.Err)
		}
	}
}

func TestPayloadCutShortIsNoViolation(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	c, conn := peer.dial(n)
	whole, _ := n.request(1, []byte("cut short"))
	message := appendFrames(t, nil, ack(wire.OfReply, whole))
	s, _ := peer.send(c, append(appendFrames(t, message, whole), "cut"...))
	want[fsm.Arrived](n)
	s.CloseWrite()
	if got := want[fsm.Closed](n); got.Conn != conn {
		t.Fatalf("closed %+v", got)
	}
	peer.send(c, appendFrames(t, nil, ack(wire.OfReply, whole)))
	want[fsm.Arrived](n)
}

func TestClaimedSizeAllocatesNothing(t *testing.T) {
	n, peer := newNode(t), newRawPeer(t)
	c, conn := peer.dial(n)
	claim := wire.Frame{Kind: wire.Request, Epoch: 1, Seq: 1, Tag: wire.Tag{1}, Hash: wire.Hash{1}, Size: 4 << 30}
	message := appendFrames(t, nil, claim)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peer.send(c, message)
	offered := want[fsm.Offered](n)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("a claim of 4 GiB allocated %d bytes", grown)
	}
	// Were it accepted by mistake, it would be refused here.
	n.do(fsm.Accept{Conn: conn, Stream: offered.Stream})
	n.wantNotice(fsm.MessageDropped)
	want[fsm.Closed](n)
}

func TestFrameThatIsNotFinishedEndsItsStream(t *testing.T) {
	n, peer := newNode(t, func(c *Config) { c.FrameTimeout = 500 * time.Millisecond }), newRawPeer(t)
	c, _ := peer.dial(n)
	whole, _ := n.request(1, []byte("never comes"))
	message := appendFrames(t, nil, ack(wire.OfReply, whole))
	_, rw := peer.send(c, message)
	want[fsm.Arrived](n)
	if _, err := rw.Write(appendFrames(t, nil, whole)); err != nil {
		t.Fatal(err)
	}
	n.wantNotice(fsm.MessageDropped)
	want[fsm.Closed](n)
}

func TestHalfOpenConnectionIsFound(t *testing.T) {
	a, b := pair(t, func(c *Config) { c.KeepAlive = 500 * time.Millisecond })
	p := newProxy(t, b)
	a.do(fsm.Dial{Peer: b.peer(), Addresses: []string{p.Addr().String()}})
	ac := want[fsm.Connected](a).Conn
	want[fsm.Connected](b)
	request, payload := a.request(1, []byte("x"))
	a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
	want[fsm.Arrived](b)

	close(p.silent)
	for _, n := range []*node{a, b} {
		for ended := false; !ended; {
			switch got := n.next().(type) {
			case fsm.Disconnected:
				if got.Err == nil || got.Clean {
					t.Fatalf("a lost connection ended as %+v", got)
				}
				ended = true
			case fsm.Closed:
			default:
				t.Fatalf("got %+v", got)
			}
		}
	}
}
