package parley_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a handler under test, and what it takes to start it again.
type node struct {
	*parley.Handler
	t       *testing.T
	key     identity.Key
	config  parley.Config
	address string
}

func newKey(t *testing.T) identity.Key {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func start(t *testing.T, key identity.Key, address string, config parley.Config) *node {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	}
	h, err := parley.New(address, key, config)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Handler: h, t: t, key: key, config: config}
	if a := h.Addresses(); len(a) > 0 {
		n.address = a[0]
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// pair is two nodes that list each other.
func pair(t *testing.T, change func(*parley.Config)) (alice, bob *node) {
	t.Helper()
	keys := []identity.Key{newKey(t), newKey(t)}
	nodes := make([]*node, 2)
	for i := range nodes {
		list, err := allowlist.New(allowlist.Member{ID: keys[1-i].PeerID()})
		if err != nil {
			t.Fatal(err)
		}
		config := parley.Config{AllowList: list}
		if change != nil {
			change(&config)
		}
		nodes[i] = start(t, keys[i], "127.0.0.1:0", config)
	}
	return nodes[0], nodes[1]
}

// next is the next event, which must come.
func (n *node) next() parley.Event {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	e, err := n.Receive(ctx)
	if err != nil {
		n.t.Fatalf("no event came: %v", err)
	}
	return e
}

func (n *node) want(kind parley.Kind) parley.Event {
	n.t.Helper()
	e := n.next()
	if e.Kind != kind {
		n.t.Fatalf("%v (%v) came, want %v", e.Kind, e.Err, kind)
	}
	return e
}

func TestRequestAndReply(t *testing.T) {
	alice, bob := pair(t, nil)
	id, err := alice.Request(bob.PeerID(), bob.address, []byte("a request"))
	if err != nil {
		t.Fatal(err)
	}
	asked := bob.want(parley.RequestReceived)
	if asked.ID != id || asked.Peer != alice.PeerID() || string(asked.Body) != "a request" || asked.Redelivered || asked.Address == "" {
		t.Fatalf("the request came as %+v", asked)
	}
	if err := bob.Response(alice.PeerID(), []byte("a reply")); err != nil {
		t.Fatal(err)
	}
	replied := alice.want(parley.ReplyReceived)
	if replied.ID != id || replied.Peer != bob.PeerID() || string(replied.Body) != "a reply" {
		t.Fatalf("the reply came as %+v", replied)
	}
}
