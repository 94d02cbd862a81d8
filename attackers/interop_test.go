package attackers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/wire"
)

const (
	exchangeProtocol = "/parley/exchange/1"
	patience         = time.Minute // for what must come
)

// pair is a Parley node and a stock host that the node lists.
func pair(t *testing.T) (*parley.Handler, host.Host, identity.ID) {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Close() })
	id, err := identity.FromBytes([]byte(stranger.ID()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := allowlist.New(allowlist.Member{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	node, err := parley.New("127.0.0.1:0", key, parley.Config{AllowList: list, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return node, stranger, id
}

func TestStockHostAsksANode(t *testing.T) {
	node, stock, id := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	connect(t, ctx, stock, node)
	s, err := stock.NewStream(ctx, peer.ID(node.PeerID().Bytes()), exchangeProtocol)
	if err != nil {
		t.Fatal(err)
	}
	request := wire.Frame{
		Kind: wire.Request, Epoch: uint64(time.Now().UnixMilli()), Seq: 1, Lane: "interop", LargestReply: 1 << 20,
		Hash: sha256.Sum256([]byte("a request")), Size: 9,
	}
	rand.Read(request.Tag[:])
	open := wire.AppendOpen(nil, []uint64{1})
	hello := wire.Frame{Kind: wire.Hello, Epoch: request.Epoch, Next: 2, Hash: sha256.Sum256(open), Size: uint64(len(open))}
	send(t, s, hello, open)
	send(t, s, request, []byte("a request"))

	e, err := node.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != parley.RequestReceived || e.Peer != id || string(e.Body) != "a request" || e.ID.Tag != request.Tag {
		t.Fatalf("the request came as %+v", e)
	}
	if err := node.Reply(e.ID, []byte("a reply")); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(s)
	for _, kind := range []wire.Kind{wire.Welcome, wire.Ack, wire.Reply} {
		frame, payload := next(t, in)
		for frame.Kind == wire.Ack && kind == wire.Reply { // one more may say that it was delivered
			frame, payload = next(t, in)
		}
		if frame.Kind != kind || kind == wire.Reply && !bytes.Equal(payload, []byte("a reply")) {
			t.Fatalf("%v came with %q, want %v", frame.Kind, payload, kind)
		}
		if kind == wire.Reply {
			send(t, s, wire.Frame{Kind: wire.Ack, Of: wire.OfReply, Epoch: frame.Epoch, Seq: frame.Seq, Hash: frame.Hash}, nil)
		}
	}
	for len(node.Exchanges()) > 0 {
		if ctx.Err() != nil {
			t.Fatalf("the exchange never ends: %+v", node.Exchanges())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestNodeAsksAStockHost(t *testing.T) {
	node, stock, id := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stock.SetStreamHandler(exchangeProtocol, func(s network.Stream) {
		in := bufio.NewReader(s)
		for {
			frame, err := wire.ReadFrame(in)
			if err != nil {
				return
			}
			payload := make([]byte, frame.PayloadSize())
			if _, err := io.ReadFull(in, payload); err != nil {
				return
			}
			switch frame.Kind {
			case wire.Hello:
				send(t, s, wire.Frame{Kind: wire.Welcome, Epoch: frame.Epoch, Next: frame.Next - 1}, nil)
			case wire.Request:
				send(t, s, wire.Frame{Kind: wire.Ack, Of: wire.OfRequest, Epoch: frame.Epoch, Seq: frame.Seq, Hash: frame.Hash}, nil)
				reply := fmt.Append(nil, "you said ", string(payload))
				send(t, s, wire.Frame{
					Kind: wire.Reply, Epoch: frame.Epoch, Seq: frame.Seq, Tag: frame.Tag, Hash: sha256.Sum256(reply), Size: uint64(len(reply)),
				}, reply)
			}
		}
	})
	reply, err := node.Call(ctx, id, stock.Addrs()[0].String(), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if string(reply) != "you said hello" {
		t.Errorf("the reply is %q", reply)
	}
}

func connect(t *testing.T, ctx context.Context, stock host.Host, node *parley.Handler) {
	t.Helper()
	info, err := peer.AddrInfoFromString(node.Addresses()[0] + "/p2p/" + node.PeerID().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := stock.Connect(ctx, *info); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, w io.Writer, frame wire.Frame, payload []byte) {
	b, err := frame.AppendTo(nil)
	if err == nil {
		_, err = w.Write(append(b, payload...))
	}
	if err != nil {
		t.Errorf("send %v: %v", frame.Kind, err)
	}
}

func next(t *testing.T, in *bufio.Reader) (wire.Frame, []byte) {
	t.Helper()
	frame, err := wire.ReadFrame(in)
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, frame.PayloadSize())
	if _, err := io.ReadFull(in, payload); err != nil {
		t.Fatal(err)
	}
	return frame, payload
}
