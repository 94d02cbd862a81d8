package parley_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
)

func TestQueueIsBounded(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*parley.Config)
	}{
		{"per peer", func(c *parley.Config) { c.MaxQueuedPerPeer = 3 }},
		{"in total", func(c *parley.Config) { c.MaxQueued = 3 }},
		{"in bytes", func(c *parley.Config) { c.MaxStored = 3 * 100 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			alice, bob := pair(t, test.change)
			bob.stop()
			body := strings.Repeat("x", 100)
			message := parley.Message{Peer: bob.PeerID(), Address: bob.address, Body: []byte(body)}
			first := alice.ask(bob, body)
			alice.ask(bob, body)
			if _, err := alice.Send(message, message); !errors.Is(err, parley.ErrQueueFull) {
				t.Fatalf("two more than there is room for give %v", err)
			}
			if open := len(alice.Exchanges()); open != 2 {
				t.Fatalf("%d are open: not all or none", open)
			}
			alice.ask(bob, body)
			_, err := alice.Request(bob.PeerID(), bob.address, []byte(body))
			var trouble *parley.PeerError
			if !errors.Is(err, parley.ErrQueueFull) || !errors.As(err, &trouble) || trouble.Peer != bob.PeerID() {
				t.Fatalf("one more than there is room for gives %v", err)
			}

			if err := alice.Cancel(first); err != nil {
				t.Fatal(err)
			}
			alice.want(parley.ExchangeFailed)
			if err := alice.Commit(first); err != nil {
				t.Fatal(err)
			}
			alice.ask(bob, body) // there is room again
		})
	}
}

func TestRefusesWhatIsTooLargeBeforeStoringIt(t *testing.T) {
	alice, bob := pair(t, func(c *parley.Config) { c.MaxMessageSize = 1000 })
	large, fits := make([]byte, 1001), make([]byte, 1000)
	if _, err := alice.Request(bob.PeerID(), bob.address, large); !errors.Is(err, parley.ErrTooLarge) {
		t.Fatalf("a request that is too large gives %v", err)
	}
	to := parley.Message{Peer: bob.PeerID(), Address: bob.address}
	for _, wrong := range []parley.Message{
		{Peer: bob.PeerID(), Body: large},
		{Peer: bob.PeerID(), Lane: strings.Repeat("l", 129)},
		{Peer: bob.PeerID(), Key: strings.Repeat("k", 129)},
		{Peer: bob.PeerID(), Address: "nowhere"},
		{Peer: alice.PeerID(), Address: bob.address},
		{Address: bob.address},
	} {
		if _, err := alice.Send(to, wrong); err == nil {
			t.Errorf("accepts %+v", wrong)
		}
	}
	if open := alice.Exchanges(); len(open) != 0 {
		t.Fatalf("of the messages that were refused there is %+v", open)
	}

	id, err := alice.Request(bob.PeerID(), bob.address, fits)
	if err != nil {
		t.Fatal(err)
	}
	bob.want(parley.RequestReceived)
	if err := bob.Reply(id, large); !errors.Is(err, parley.ErrTooLarge) {
		t.Fatalf("a reply that is too large gives %v", err)
	}
	if err := bob.Reject(id, string(make([]byte, 1025))); err == nil {
		t.Fatal("accepts a reason that is too long")
	}
	if err := bob.Reply(id, fits); err != nil {
		t.Fatal(err)
	}
	if e := alice.want(parley.ReplyReceived); len(e.Body) != len(fits) {
		t.Fatalf("%d bytes came", len(e.Body))
	}
}

func TestMessagesTooLargeForTheOtherSide(t *testing.T) {
	for _, size := range []int{2000, 100 << 10} { // sent at once, and only when asked for
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			alice, bob := pair(t, nil)
			bob.stop()
			bob.config.MaxMessageSize = 1000
			bob = bob.again()

			alice.ask(bob, strings.Repeat("x", size))
			e := alice.want(parley.ExchangeFailed)
			var rejected *parley.RejectedError
			if !errors.As(e.Err, &rejected) || rejected.Peer != bob.PeerID() || !strings.Contains(rejected.Reason, "1000") {
				t.Fatalf("a request too large for its responder ends with %v", e.Err)
			}
			id := bob.ask(alice, "a small request")
			alice.want(parley.RequestReceived) // and nothing of the other came to Bob
			alice.reply(id, strings.Repeat("x", size))
			if e := bob.want(parley.ExchangeFailed); e.ID != id || !errors.Is(e.Err, parley.ErrRejected) {
				t.Fatalf("a reply too large for its dialer ends with %v", e.Err)
			}
			alice.untilNothingOpen()
		})
	}
}

func TestRequestIsSentAgainUntilItsResponderHasRoom(t *testing.T) {
	alice, bob := pair(t, func(c *parley.Config) {
		impatient(c)
		c.MaxOpenPerPeer = 1
	})
	first := alice.askIn("one", bob, "first")
	bob.wantBody(parley.RequestReceived, "first")
	second := alice.askIn("two", bob, "second")
	alice.until("the second is refused for now", func() bool { return alice.Stats().Nacks > 0 })
	if x := alice.exchange(second); x.Acknowledged {
		t.Fatalf("what there is no room for is acknowledged: %+v", x)
	}
	if e := bob.want(parley.PeerLimited); e.Peer != alice.PeerID() || !strings.Contains(e.Err.Error(), "MaxOpenPerPeer, or open on the allow list: 1") {
		t.Fatalf("%+v came", e)
	}
	bob.reply(first, "one")
	alice.wantBody(parley.ReplyReceived, "one")
	bob.wantBody(parley.RequestReceived, "second")
	bob.reply(second, "two")
	alice.wantBody(parley.ReplyReceived, "two")
}

func TestFullPeerDelaysNoOther(t *testing.T) {
	nodes := group(t, 3, func(c *parley.Config) {
		impatient(c)
		c.MaxOpen = 2
	})
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	for i := range 4 { // the total is 2: Alice fills it
		alice.askIn(fmt.Sprint(i), bob, "fill")
	}
	bob.wantAmid(parley.RequestReceived, parley.PeerLimited)
	bob.wantAmid(parley.RequestReceived, parley.PeerLimited)
	alice.until("there is no room for Alice", func() bool { return alice.Stats().Nacks > 0 })
	id := carol.ask(bob, "there is room for one of each peer")
	if e := bob.wantAmid(parley.RequestReceived, parley.PeerLimited); e.ID != id {
		t.Fatalf("%+v came", e)
	}
	bob.reply(id, "so there is")
	carol.want(parley.ReplyReceived)
}
