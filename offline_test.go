package parley_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
)

// What a node says that has no list, no directory and no logger of its own.
func TestNodeOfNothingButItsKey(t *testing.T) {
	var said bytes.Buffer
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil)))
	h, err := parley.New("", newKey(t), parley.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := h.Send(); ids != nil || err != nil {
		t.Errorf("no messages give %v, %v", ids, err)
	}
	if _, err := h.Request(newKey(t).PeerID(), "", nil); !errors.Is(err, parley.ErrNotListed) {
		t.Errorf("a request to a peer of no list gives %v", err)
	}
	if _, err := h.CallMessage(context.Background(), parley.Message{Peer: newKey(t).PeerID(), Key: "a key"}); err == nil || !strings.Contains(err.Error(), "Send") {
		t.Errorf("a call with a key gives %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "journal is in memory") {
		t.Errorf("it says %q", &said)
	}
}

// A closed node gives its callers ErrClosed, and shows nothing.
func TestClosedNodeSaysSo(t *testing.T) {
	list := listing(t)
	n := start(t, newKey(t), "", parley.Config{AllowList: list})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	peer := newKey(t).PeerID()
	for what, err := range map[string]error{
		"a request":   second(n.Request(peer, "", []byte("a request"))),
		"a large one": second(n.Request(peer, "", make([]byte, 1<<20))),
		"a call":      second(n.Call(context.Background(), peer, "", []byte("a call"))),
		"Receive":     second(n.Receive(context.Background())),
		"Cancel":      n.Cancel(parley.ID{Dialer: n.PeerID()}),
		"Disconnect":  n.Disconnect(peer),
	} {
		if !errors.Is(err, parley.ErrClosed) {
			t.Errorf("%s gives %v", what, err)
		}
	}
	if e, ok := n.CheckReceive(); ok {
		t.Errorf("CheckReceive gives %+v", e)
	}
	if all := n.Exchanges(); len(all) > 0 {
		t.Errorf("it shows %v", all)
	}
	if err := list.Add(allowlist.Member{ID: peer}); err != nil {
		t.Errorf("its list can't be changed any more: %v", err)
	}
}

// A member of a list that admits everyone has limits of its own, until it is
// taken off: then it is like everybody else, and goes on.
func TestMemberAmongEveryone(t *testing.T) {
	var said bytes.Buffer
	everyone := allowlist.Everyone()
	alice := start(t, newKey(t), "127.0.0.1:0", parley.Config{AllowList: everyone, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	bob := start(t, newKey(t), "127.0.0.1:0", parley.Config{AllowList: listing(t, alice.key)})
	if err := everyone.Add(allowlist.Member{ID: bob.PeerID(), Name: "bob", Limits: allowlist.Limits{MaxOpen: 1}}); err != nil {
		t.Fatal(err)
	}
	if !everyone.Remove(bob.PeerID()) {
		t.Fatal("bob isn't on the list")
	}
	if _, err := bob.Request(alice.PeerID(), alice.address, []byte("a request")); err != nil {
		t.Fatal(err)
	}
	alice.want(parley.RequestReceived)
	if err := alice.Response(bob.PeerID(), []byte("a reply")); err != nil {
		t.Fatal(err)
	}
	bob.want(parley.ReplyReceived)
	if !strings.Contains(said.String(), "ADMITS EVERYONE") {
		t.Errorf("it says %q", &said)
	}
}

func second[T any](_ T, err error) error { return err }
