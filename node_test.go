package parley_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// patience is how long a test waits for what must come. Nothing depends on how
// long it really takes.
const patience = time.Minute

// node is a handler under test, and what it takes to start it again.
type node struct {
	*parley.Handler
	t       testing.TB
	key     identity.Key
	config  parley.Config
	address string
}

func newKey(t testing.TB) identity.Key {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func listing(t testing.TB, keys ...identity.Key) *allowlist.List {
	t.Helper()
	members := make([]allowlist.Member, len(keys))
	for i, key := range keys {
		members[i].ID = key.PeerID()
	}
	list, err := allowlist.New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func start(t testing.TB, key identity.Key, address string, config parley.Config) *node {
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
	t.Cleanup(n.stop)
	return n
}

func (n *node) stop() {
	n.t.Helper()
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
}

// again starts a node that was closed, on the same directory and address.
func (n *node) again() *node {
	n.t.Helper()
	return start(n.t, n.key, n.address, n.config)
}

// restart closes a node and starts it again.
func (n *node) restart() *node {
	n.t.Helper()
	n.stop()
	return n.again()
}

// impatient has what failed tried again soon.
func impatient(c *parley.Config) {
	c.AckTimeout, c.RetryMax, c.PollMax = 2*time.Second, 50*time.Millisecond, 50*time.Millisecond
}

// onDisk keeps the journal in a directory of the test.
func onDisk(t testing.TB) func(*parley.Config) {
	return func(c *parley.Config) {
		impatient(c)
		c.Dir = filepath.Join(t.TempDir(), "journal")
	}
}

// pair is two nodes that list each other.
func pair(t testing.TB, change func(*parley.Config)) (alice, bob *node) {
	t.Helper()
	nodes := group(t, 2, change)
	return nodes[0], nodes[1]
}

// group is nodes that list each other.
func group(t testing.TB, size int, change func(*parley.Config)) []*node {
	t.Helper()
	keys := make([]identity.Key, size)
	for i := range keys {
		keys[i] = newKey(t)
	}
	nodes := make([]*node, size)
	for i := range nodes {
		others := append(append([]identity.Key(nil), keys[:i]...), keys[i+1:]...)
		config := parley.Config{AllowList: listing(t, others...)}
		if change != nil {
			change(&config)
		}
		nodes[i] = start(t, keys[i], "127.0.0.1:0", config)
	}
	return nodes
}

// ask makes a request.
func (n *node) ask(of *node, body string) parley.ID {
	n.t.Helper()
	return n.send(parley.Message{Peer: of.PeerID(), Address: of.address, Body: []byte(body)})
}

// askIn makes a request in a lane.
func (n *node) askIn(lane string, of *node, body string) parley.ID {
	n.t.Helper()
	return n.send(parley.Message{Peer: of.PeerID(), Address: of.address, Lane: lane, Body: []byte(body)})
}

func (n *node) send(m parley.Message) parley.ID {
	n.t.Helper()
	ids, err := n.Send(m)
	if err != nil {
		n.t.Fatal(err)
	}
	return ids[0]
}

func (n *node) reply(id parley.ID, body string) {
	n.t.Helper()
	if err := n.Reply(id, []byte(body)); err != nil {
		n.t.Fatal(err)
	}
}

// next is the next event, which must come.
func (n *node) next() parley.Event {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
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
		n.t.Fatalf("%v (%q, %v) came, want %v", e.Kind, e.Body, e.Err, kind)
	}
	return e
}

// wantAmid is the next event that is none of these alerts, which may come before.
func (n *node) wantAmid(kind parley.Kind, alerts ...parley.Kind) parley.Event {
	n.t.Helper()
	for {
		e := n.next()
		if slices.Contains(alerts, e.Kind) {
			continue
		}
		if e.Kind != kind {
			n.t.Fatalf("%v (%q, %v) came, want %v", e.Kind, e.Body, e.Err, kind)
		}
		return e
	}
}

// wantBody is the next event, of this kind and with this body.
func (n *node) wantBody(kind parley.Kind, body string) parley.Event {
	n.t.Helper()
	e := n.want(kind)
	if string(e.Body) != body {
		n.t.Fatalf("%v came with %q, want %q", kind, e.Body, body)
	}
	return e
}

// until waits for a node to come into a state of which no event tells.
func (n *node) until(what string, reached func() bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !reached(); runtime.Gosched() {
		if time.Now().After(end) {
			n.t.Fatalf("never came: %s; exchanges: %+v; peers: %+v", what, n.Exchanges(), n.Peers())
		}
	}
}

// exchange is an exchange as the node sees it.
func (n *node) exchange(id parley.ID) parley.Exchange {
	n.t.Helper()
	x, err := n.Exchange(id)
	if err != nil {
		n.t.Fatal(err)
	}
	return x
}

// untilStored waits until a request is known to be on its responder's disk.
func (n *node) untilStored(id parley.ID) {
	n.t.Helper()
	n.until("the request is acknowledged", func() bool { return n.exchange(id).Acknowledged })
}

// untilNothingOpen waits until every exchange has ended and is committed.
func (n *node) untilNothingOpen() {
	n.t.Helper()
	n.until("no exchange is open", func() bool { return len(n.Exchanges()) == 0 })
}
