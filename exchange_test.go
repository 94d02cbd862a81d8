package parley_test

import (
	"testing"

	"github.com/parley-p2p/parley"
)

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
