package parley_test

import (
	"errors"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
)

func TestCancelBeforeSending(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	id := alice.ask(bob, "never mind")
	if err := alice.Cancel(id); err != nil {
		t.Fatal(err)
	}
	if e := alice.want(parley.ExchangeFailed); e.ID != id || !errors.Is(e.Err, parley.ErrCancelled) {
		t.Fatalf("it ended as %+v", e)
	}
	if err := alice.Cancel(id); !errors.Is(err, parley.ErrEnded) {
		t.Fatalf("cancelling again gives %v", err)
	}
	if err := alice.Cancel(parley.ID{Dialer: alice.PeerID()}); !errors.Is(err, parley.ErrUnknown) {
		t.Fatalf("cancelling nothing gives %v", err)
	}
	bob = bob.again()
	alice.ask(bob, "but this")
	bob.wantBody(parley.RequestReceived, "but this")
}

// A request that may have been sent keeps its lane until its responder knows
// that it is over, across a restart too.
func TestCancelOfWhatMayHaveBeenSent(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	id := alice.ask(bob, "never mind")
	alice = alice.restart() // after which nobody knows whether it was sent
	if err := alice.Cancel(id); err != nil {
		t.Fatal(err)
	}
	if e := alice.want(parley.ExchangeFailed); !errors.Is(e.Err, parley.ErrCancelled) {
		t.Fatalf("it ended as %+v", e)
	}
	alice = alice.restart()
	bob = bob.again()
	alice.ask(bob, "but this")
	bob.wantBody(parley.RequestReceived, "but this")
}

func TestCancelAfterSending(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	if err := alice.Cancel(id); err != nil {
		t.Fatal(err)
	}
	if e := alice.want(parley.ExchangeFailed); e.ID != id || !errors.Is(e.Err, parley.ErrCancelled) {
		t.Fatalf("it ended as %+v", e)
	}
	if e := bob.want(parley.RequestAbandoned); e.ID != id || !errors.Is(e.Err, parley.ErrAbandoned) {
		t.Fatalf("its responder is told %+v", e)
	}
	if err := bob.Reply(id, []byte("too late")); !errors.Is(err, parley.ErrAbandoned) {
		t.Fatalf("answering an abandoned request gives %v", err)
	}
	if err := alice.Cancel(id); !errors.Is(err, parley.ErrEnded) {
		t.Fatalf("cancelling again gives %v", err)
	}
	alice.ask(bob, "the next of the lane")
	bob.wantBody(parley.RequestReceived, "the next of the lane")
}

func TestDeadlinePassesWhileThePeerIsDown(t *testing.T) {
	for _, restart := range []bool{false, true} {
		name := "while running"
		if restart {
			name = "while closed"
		}
		t.Run(name, func(t *testing.T) {
			alice, bob := pair(t, onDisk(t))
			bob.stop()
			deadline := time.Now().Add(5 * time.Millisecond)
			id := alice.send(parley.Message{Peer: bob.PeerID(), Address: bob.address, Deadline: deadline})
			if restart {
				alice = alice.restart()
			}
			e := alice.want(parley.ExchangeFailed)
			if e.ID != id || !errors.Is(e.Err, parley.ErrExpired) || !e.Deadline.Truncate(time.Millisecond).Equal(deadline.Truncate(time.Millisecond)) {
				t.Fatalf("it ended as %+v", e)
			}
		})
	}
}

func TestDeadlinePassesBeforeTheAnswer(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.send(parley.Message{Peer: bob.PeerID(), Address: bob.address, Deadline: time.Now().Add(300 * time.Millisecond)})
	if e := bob.want(parley.RequestReceived); e.Deadline.IsZero() {
		t.Fatal("the responder isn't told the deadline")
	}
	if e := alice.want(parley.ExchangeFailed); e.ID != id || !errors.Is(e.Err, parley.ErrExpired) {
		t.Fatalf("it ended as %+v", e)
	}
	bob.want(parley.RequestAbandoned)
	if err := bob.Reply(id, nil); !errors.Is(err, parley.ErrAbandoned) {
		t.Fatalf("answering it gives %v", err)
	}
}

func TestPeerLeavesTheAllowListAndReturns(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	alice.untilStored(id)

	alice.config.AllowList.Remove(bob.PeerID())
	if e := alice.want(parley.PeerSuspended); e.Peer != bob.PeerID() {
		t.Fatalf("%+v came", e)
	}
	if x := alice.exchange(id); x.State != "suspended" {
		t.Fatalf("the exchange is %s", x.State)
	}
	if _, err := alice.Request(bob.PeerID(), bob.address, nil); !errors.Is(err, parley.ErrNotListed) {
		t.Fatalf("a request to a peer off the list gives %v", err)
	}
	bob.reply(id, "a reply")
	alice = alice.restart() // it is suspended still
	if x := alice.exchange(id); x.State != "suspended" {
		t.Fatalf("after a restart the exchange is %s", x.State)
	}
	alice.want(parley.PeerSuspended)

	if err := alice.config.AllowList.Add(allowlist.Member{ID: bob.PeerID()}); err != nil {
		t.Fatal(err)
	}
	for {
		e := alice.next()
		if e.Kind == parley.StrangerRefused { // Bob tried to bring the reply
			continue
		}
		if e.Kind != parley.ReplyReceived || e.ID != id {
			t.Fatalf("%+v came", e)
		}
		break
	}
}

func TestRequestsOfAPeerOffTheListAreHeldBack(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	alice.untilStored(id)
	bob.stop()
	bob.config.AllowList.Remove(alice.PeerID())
	bob = bob.again()
	if e, ok := bob.CheckReceive(); ok && e.Kind == parley.RequestReceived {
		t.Fatal("a request of a peer off the list is delivered")
	}
	if err := bob.config.AllowList.Add(allowlist.Member{ID: alice.PeerID()}); err != nil {
		t.Fatal(err)
	}
	for e := bob.next(); e.Kind != parley.RequestReceived; e = bob.next() {
		if e.Kind != parley.StrangerRefused && e.Kind != parley.PeerSuspended {
			t.Fatalf("%+v came", e)
		}
	}
	bob.reply(id, "a reply")
	alice.want(parley.ReplyReceived)
}

func TestStrangersGetNothing(t *testing.T) {
	alice, bob := pair(t, impatient)
	carolKey := newKey(t)
	carol := start(t, carolKey, "127.0.0.1:0", parley.Config{AllowList: listing(t, bob.key), RetryMax: 50 * time.Millisecond})
	id := carol.ask(bob, "let me in")
	if e := bob.want(parley.StrangerRefused); e.Peer != carol.PeerID() || e.Count < 1 {
		t.Fatalf("%+v came", e)
	}
	if x := carol.exchange(id); x.Acknowledged {
		t.Fatalf("a stranger's request is acknowledged: %+v", x)
	}
	if r := bob.untilRefused(carol, parley.ErrNotListed); r.Layer != "list" || len(bob.Refused()) != 1 {
		t.Fatalf("she was refused by %+v", bob.Refused())
	}
	if r, found := bob.WhyRefused(alice.PeerID()); found {
		t.Fatalf("a member was refused: %+v", r)
	}
	alice.ask(bob, "a member's request")
	for e := bob.next(); e.Kind != parley.RequestReceived; e = bob.next() {
		if e.Kind != parley.StrangerRefused {
			t.Fatalf("%+v came", e)
		}
	}
	if bob.Stats().Requests != 1 {
		t.Fatalf("%d requests were stored", bob.Stats().Requests)
	}
}

func TestAddressThatProvesAnotherKey(t *testing.T) {
	alice, bob := pair(t, impatient)
	carol := newKey(t)
	if err := alice.config.AllowList.Add(allowlist.Member{ID: carol.PeerID()}); err != nil {
		t.Fatal(err)
	}
	id, err := alice.Request(carol.PeerID(), bob.address, []byte("for Carol's eyes only"))
	if err != nil {
		t.Fatal(err)
	}
	if e := alice.want(parley.IdentityMismatch); e.Peer != carol.PeerID() {
		t.Fatalf("%+v came", e)
	}
	if x := alice.exchange(id); x.Acknowledged || !x.Ended.IsZero() {
		t.Fatalf("the exchange is %+v", x)
	}
	alice.ask(bob, "for Bob")
	bob.wantBody(parley.RequestReceived, "for Bob")
	if bob.Stats().Requests != 1 {
		t.Fatalf("Bob stored %d requests", bob.Stats().Requests)
	}
}
