package parley_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/parley-p2p/parley"
)

func TestRequestsOfOneLaneComeOneAfterTheOther(t *testing.T) {
	alice, bob := pair(t, nil)
	const count = 200
	messages := make([]parley.Message, count)
	for i := range messages {
		messages[i] = parley.Message{Peer: bob.PeerID(), Address: bob.address, Lane: "program", Body: []byte(fmt.Sprint(i))}
	}
	ids, err := alice.Send(messages...)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if e := bob.wantBody(parley.RequestReceived, fmt.Sprint(i)); e.ID != id || e.Lane != "program" {
			t.Fatalf("request %d came as %+v", i, e)
		}
		if asked := bob.Peers()[0].Asked; asked != 1 {
			t.Fatalf("%d requests of one lane are here at once", asked)
		}
		bob.reply(id, fmt.Sprint(i))
		alice.wantBody(parley.ReplyReceived, fmt.Sprint(i))
	}
}

func TestLanesRunSideBySide(t *testing.T) {
	alice, bob := pair(t, nil)
	const lanes = 64
	for i := range lanes {
		alice.askIn(fmt.Sprint(i), bob, fmt.Sprint("first of ", i))
		alice.askIn(fmt.Sprint(i), bob, fmt.Sprint("second of ", i))
	}
	firsts := map[string]parley.ID{}
	for len(firsts) < lanes { // all of them are here before any is answered
		e := bob.want(parley.RequestReceived)
		if string(e.Body) != "first of "+e.Lane {
			t.Fatalf("%q came first of lane %s", e.Body, e.Lane)
		}
		firsts[e.Lane] = e.ID
	}
	for i := lanes - 1; i >= 0; i-- {
		bob.reply(firsts[fmt.Sprint(i)], "")
		if e := bob.want(parley.RequestReceived); string(e.Body) != fmt.Sprint("second of ", i) {
			t.Fatalf("%q came after lane %d was answered", e.Body, i)
		}
	}
}

func TestExchangesGoBothWaysAtOnce(t *testing.T) {
	alice, bob := pair(t, nil)
	asked, answered := alice.ask(bob, "of Alice"), bob.ask(alice, "of Bob")
	alice.wantBody(parley.RequestReceived, "of Bob")
	bob.wantBody(parley.RequestReceived, "of Alice")
	alice.reply(answered, "to Bob")
	bob.reply(asked, "to Alice")
	alice.wantBody(parley.ReplyReceived, "to Alice")
	bob.wantBody(parley.ReplyReceived, "to Bob")
}

// An application that never asks for its events holds up neither its node nor
// any other.
func TestSlowApplicationDelaysNobody(t *testing.T) {
	nodes := group(t, 3, nil)
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	const count = 400 // more than wait between the mediator and the application
	var last parley.ID
	for i := range count {
		last = alice.askIn(fmt.Sprint(i), bob, "never taken")
	}
	alice.until("all are on Bob's disk", func() bool { return bob.Peers() != nil && bob.Stats().Requests == count })
	if x := bob.exchange(last); x.State != "stored" {
		t.Fatalf("a request that nobody has taken is %s", x.State)
	}

	serve(t, carol, func(_ context.Context, r *parley.Request) ([]byte, error) {
		return append([]byte("re: "), r.Body...), nil
	})
	for _, n := range []*node{alice, bob} { // Bob's own calls don't wait behind his events
		reply, err := n.Call(t.Context(), carol.PeerID(), carol.address, []byte("hello"))
		if err != nil || string(reply) != "re: hello" {
			t.Fatalf("Carol answers %q, %v", reply, err)
		}
	}
}
