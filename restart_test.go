package parley_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
)

func TestRequestMadeWhileThePeerIsDown(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	id := alice.ask(bob, "are you there?")
	alice = alice.restart()
	if x := alice.exchange(id); x.Peer != bob.PeerID() || !x.Dialer || x.RequestSize != 14 {
		t.Fatalf("after the restart the exchange is %+v", x)
	}

	bob = bob.again()
	if e := bob.wantBody(parley.RequestReceived, "are you there?"); e.ID != id || e.Redelivered {
		t.Fatalf("the request came as %+v", e)
	}
	bob.reply(id, "I am")
	if e := alice.wantBody(parley.ReplyReceived, "I am"); e.ID != id || e.Redelivered {
		t.Fatalf("the reply came as %+v", e)
	}

	// It was delivered once: the next that comes is the next that was sent.
	alice.ask(bob, "still?")
	bob.wantBody(parley.RequestReceived, "still?")
}

func TestReplyComesAgainUntilItIsCommitted(t *testing.T) {
	for _, test := range []struct {
		name     string
		explicit bool
		commit   func(alice *node, id parley.ID)
	}{
		{"by asking for the next event", false, func(alice *node, id parley.ID) {
			if e, ok := alice.CheckReceive(); ok {
				t.Fatalf("%v came, want nothing", e.Kind)
			}
		}},
		{"by Commit", true, func(alice *node, id parley.ID) {
			if _, ok := alice.CheckReceive(); ok {
				t.Fatal("an event came")
			}
			if len(alice.Exchanges()) != 1 {
				t.Fatal("asking for the next event commits in spite of ExplicitCommit")
			}
			if err := alice.Commit(id); err != nil {
				t.Fatal(err)
			}
			if err := alice.Commit(id); err != nil {
				t.Fatalf("committing again gives %v", err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			alice, bob := pair(t, func(c *parley.Config) {
				onDisk(t)(c)
				c.ExplicitCommit = test.explicit
			})
			id := alice.ask(bob, "a request")
			bob.want(parley.RequestReceived)
			bob.reply(id, "a reply")
			alice.want(parley.ReplyReceived)
			bob.untilNothingOpen() // the reply will not be brought again

			for range 2 {
				alice = alice.restart() // which commits nothing
				e := alice.wantBody(parley.ReplyReceived, "a reply")
				if e.ID != id || !e.Redelivered {
					t.Fatalf("after a restart the reply came as %+v", e)
				}
			}
			test.commit(alice, id)
			alice.untilNothingOpen()

			alice = alice.restart()
			if e, ok := alice.CheckReceive(); ok {
				t.Fatalf("%v came again after it was committed", e.Kind)
			}
			if x := alice.exchange(id); x.State != "answered" || x.Ended.IsZero() {
				t.Fatalf("its history is %+v", x)
			}
		})
	}
}

func TestFailureComesAgainUntilItIsCommitted(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	if err := bob.Reject(id, "not today"); err != nil {
		t.Fatal(err)
	}
	alice.want(parley.ExchangeFailed)
	alice = alice.restart()
	e := alice.want(parley.ExchangeFailed)
	var rejected *parley.RejectedError
	if !errors.As(e.Err, &rejected) || rejected.Reason != "not today" || !e.Redelivered {
		t.Fatalf("after a restart the failure came as %+v", e)
	}
}

func TestUnansweredRequestsComeAgainInTheOrderOfTheirArrival(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	var ids []parley.ID
	for i := range 4 {
		id := alice.askIn(fmt.Sprint("lane ", i), bob, fmt.Sprint("request ", i))
		alice.untilStored(id) // so that they arrive one after the other
		ids = append(ids, id)
	}
	for i := range 3 { // the application takes three of the four
		if e := bob.wantBody(parley.RequestReceived, fmt.Sprint("request ", i)); e.Redelivered {
			t.Fatalf("request %d came as redelivered the first time", i)
		}
	}
	bob.reply(ids[1], "an answer")

	bob = bob.restart()
	for _, i := range []int{0, 2, 3} {
		if e := bob.wantBody(parley.RequestReceived, fmt.Sprint("request ", i)); e.ID != ids[i] || !e.Redelivered {
			t.Fatalf("after the restart request %d came as %+v", i, e)
		}
	}
	if e, ok := bob.CheckReceive(); ok {
		t.Fatalf("%v came, want nothing", e.Kind)
	}
	alice.wantBody(parley.ReplyReceived, "an answer")

	for _, i := range []int{0, 2, 3} {
		bob.reply(ids[i], "late")
		alice.wantBody(parley.ReplyReceived, "late")
	}
	bob.untilNothingOpen()
	bob = bob.restart()
	if e, ok := bob.CheckReceive(); ok {
		t.Fatalf("%v came after everything was answered", e.Kind)
	}
	for _, id := range ids {
		if err := bob.Reply(id, []byte("again")); !errors.Is(err, parley.ErrAnswered) {
			t.Fatalf("answering again gives %v", err)
		}
	}
}

func TestReplyWaitsForItsDialer(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	alice.untilStored(id)
	alice.stop()
	bob.reply(id, "a reply to nobody there")
	bob = bob.restart()
	alice = alice.again()
	if e := alice.wantBody(parley.ReplyReceived, "a reply to nobody there"); e.ID != id || e.Redelivered {
		t.Fatalf("the reply came as %+v", e)
	}
	bob.untilNothingOpen()
}

func TestRequestsOfOneLaneKeepTheirOrderAcrossRestarts(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	const count = 12
	for i := range count {
		alice.ask(bob, fmt.Sprint(i))
	}
	alice = alice.restart()
	bob = bob.again()
	for i := range count {
		e := bob.wantBody(parley.RequestReceived, fmt.Sprint(i))
		if i%5 == 2 {
			alice = alice.restart()
		}
		if i%4 == 1 {
			bob = bob.restart()
			e = bob.wantBody(parley.RequestReceived, fmt.Sprint(i))
		}
		bob.reply(e.ID, "done")
	}
}

func TestRestartWithoutAPayloadIsRefused(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	alice.ask(bob, strings.Repeat("large ", 1<<18))
	alice.stop()
	files, err := filepath.Glob(filepath.Join(alice.config.Dir, "payloads", "*.payload"))
	if err != nil || len(files) != 1 {
		t.Fatalf("there are the payload files %q (%v), want one", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	h, err := parley.New("", alice.key, alice.config)
	if !errors.Is(err, parley.ErrDamaged) || !strings.Contains(err.Error(), "payload") {
		t.Fatalf("started as %v (%v), want the payload that is missing", h, err)
	}
}

func TestPeerTakenOffTheListWhileDownIsTold(t *testing.T) {
	alice, bob := pair(t, func(c *parley.Config) { c.Dir = t.TempDir() })
	bob.stop()
	alice.ask(bob, "still to come")
	alice.stop()
	if !alice.config.AllowList.Remove(bob.PeerID()) {
		t.Fatal("bob was not on the list")
	}
	alice = alice.again()
	if e := alice.want(parley.PeerSuspended); e.Peer != bob.PeerID() {
		t.Fatalf("%s is told to be suspended, want %s", e.Peer, bob.PeerID())
	}
}
