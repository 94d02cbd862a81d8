package parley_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/parley-p2p/parley"
)

// serve has a node serve until the test is over.
func serve(t testing.TB, n *node, answer func(context.Context, *parley.Request) ([]byte, error)) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(ctx, answer) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, parley.ErrClosed) {
			t.Errorf("Serve ended with %v", err)
		}
	})
}

// receiveBeside has another goroutine receive, and returns once it waits. The
// channel gives what its Receive ended with.
func (n *node) receiveBeside(ctx context.Context) <-chan error {
	n.t.Helper()
	ended := make(chan error, 1)
	go func() {
		err := parley.ErrBusy
		for errors.Is(err, parley.ErrBusy) { // with the question below
			_, err = n.Receive(ctx)
		}
		ended <- err
	}()
	over, cancel := context.WithCancel(n.t.Context())
	cancel()
	n.until("somebody receives", func() bool {
		_, err := n.Receive(over)
		return errors.Is(err, parley.ErrBusy)
	})
	return ended
}

func TestEventsHaveOneConsumer(t *testing.T) {
	alice, bob := pair(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := bob.receiveBeside(ctx)
	if e, ok := bob.CheckReceive(); ok {
		t.Fatalf("CheckReceive gives %v beside Receive", e.Kind)
	}
	if err := bob.Serve(ctx, nil); !errors.Is(err, parley.ErrBusy) {
		t.Fatalf("Serve beside Receive gives %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("Receive ended with %v", err)
	}
	alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
}

func TestEventsUntilTheContextEnds(t *testing.T) {
	alice, bob := pair(t, nil)
	for i := range 3 {
		alice.askIn(fmt.Sprint(i), bob, "a request")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count := 0
	for e := range bob.Events(ctx) {
		if e.Kind != parley.RequestReceived {
			t.Fatalf("%v came", e.Kind)
		}
		if count++; count == 3 {
			cancel()
		}
	}
	for range bob.Events(ctx) {
		t.Fatal("an event came after the context's end")
	}
}

func TestCallWhoseContextEnds(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := alice.Call(ctx, bob.PeerID(), bob.address, []byte("are you quick?"))
		ended <- err
	}()
	asked := bob.want(parley.RequestReceived)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("the call ended with %v", err)
	}
	bob.reply(asked.ID, "no")
	if e := alice.wantBody(parley.ReplyReceived, "no"); e.ID != asked.ID {
		t.Fatalf("the reply came as %+v", e)
	}
}

func TestCallsAtOnce(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	serve(t, bob, func(_ context.Context, r *parley.Request) ([]byte, error) {
		if string(r.Body) == "7" {
			return nil, errors.New("seven is unlucky")
		}
		return append([]byte("re: "), r.Body...), nil
	})
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			reply, err := alice.CallMessage(t.Context(), parley.Message{
				Peer: bob.PeerID(), Address: bob.address, Lane: fmt.Sprint(i), Body: []byte(fmt.Sprint(i)),
			})
			var rejected *parley.RejectedError
			switch {
			case i == 7 && (!errors.As(err, &rejected) || rejected.Reason != "seven is unlucky"):
				t.Errorf("call 7 gives %q, %v", reply, err)
			case i != 7 && (err != nil || string(reply) != fmt.Sprint("re: ", i)):
				t.Errorf("call %d gives %q, %v", i, reply, err)
			}
		})
	}
	calls.Wait()
	alice.untilNothingOpen() // a call commits what it returns
	alice = alice.restart()
	if e, ok := alice.CheckReceive(); ok {
		t.Fatalf("%v came after all calls had returned", e.Kind)
	}
	if _, err := alice.CallMessage(t.Context(), parley.Message{Peer: bob.PeerID(), Key: "key"}); err == nil {
		t.Fatal("a call accepts a key")
	}
}

// An outcome that was committed isn't told, wherever it was on its way then.
func TestWhatIsCommittedWhileServeRunsIsNotTold(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	echo := func(_ context.Context, r *parley.Request) ([]byte, error) { return r.Body, nil }
	serve(t, alice, echo)
	serve(t, bob, echo)
	for i := range 300 {
		id := alice.ask(bob, fmt.Sprint(i))
		alice.until("it is answered", func() bool { return alice.exchange(id).State == "answered" })
		if err := alice.Commit(id); err != nil {
			t.Fatal(err)
		}
	}
	last := alice.ask(bob, "the last")
	alice.until("it is told", func() bool {
		e, ok := alice.CheckReceive()
		if ok && (e.ID != last || e.Kind != parley.ReplyReceived || string(e.Body) != "the last") {
			t.Fatalf("%v (%v) of %v came", e.Kind, e.Err, e.ID)
		}
		return ok
	})
}

func TestServeLeavesRequestsOpen(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- bob.Serve(ctx, func(ctx context.Context, r *parley.Request) ([]byte, error) {
			begun <- string(r.Body)
			if string(r.Body) == "later" {
				return nil, parley.ErrLater
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}()
	later := alice.askIn("later", bob, "later")
	<-begun
	abandoned := alice.askIn("abandoned", bob, "abandoned")
	<-begun
	if err := alice.Cancel(abandoned); err != nil { // which ends the function's context
		t.Fatal(err)
	}
	if e := alice.want(parley.ExchangeFailed); e.ID != abandoned || !errors.Is(e.Err, parley.ErrCancelled) {
		t.Fatalf("%+v came", e)
	}
	bob.until("the abandoned request is over", func() bool { return bob.exchange(abandoned).State == "abandoned" })
	interrupted := alice.askIn("interrupted", bob, "interrupted")
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("Serve ended with %v", err)
	}

	bob.reply(later, "at last")
	alice.wantBody(parley.ReplyReceived, "at last")
	bob = bob.restart()
	if e := bob.wantBody(parley.RequestReceived, "interrupted"); e.ID != interrupted || !e.Redelivered {
		t.Fatalf("after a restart what Serve left open came as %+v", e)
	}
}

func TestServeGivesOtherEventsToWhoeverAsks(t *testing.T) {
	for _, explicit := range []bool{false, true} {
		t.Run(fmt.Sprint("explicit commit ", explicit), func(t *testing.T) {
			alice, bob := pair(t, func(c *parley.Config) {
				onDisk(t)(c)
				c.ExplicitCommit = explicit
			})
			serve(t, bob, func(context.Context, *parley.Request) ([]byte, error) { return []byte("served"), nil })
			id := bob.ask(alice, "of Bob")
			alice.want(parley.RequestReceived)
			alice.reply(id, "to Bob")
			alice.untilNothingOpen()
			if reply, err := alice.Call(t.Context(), bob.PeerID(), bob.address, nil); err != nil || string(reply) != "served" {
				t.Fatalf("Bob serves %q, %v", reply, err)
			}
			var e parley.Event
			bob.until("Bob's own reply is there for him", func() bool {
				var ok bool
				e, ok = bob.CheckReceive()
				return ok
			})
			if e.Kind != parley.ReplyReceived || e.ID != id || string(e.Body) != "to Bob" {
				t.Fatalf("%+v came", e)
			}
			bob.until("only his own exchange waits, to be committed", func() bool {
				open := bob.Exchanges()
				return len(open) == 1 && open[0].ID == id
			})
			if explicit {
				if err := bob.Commit(id); err != nil {
					t.Fatal(err)
				}
			} else if _, ok := bob.CheckReceive(); ok {
				t.Fatal("it came twice")
			}
			bob.untilNothingOpen()
		})
	}
}

func TestAnswers(t *testing.T) {
	alice, bob := pair(t, nil)
	if err := bob.Response(alice.PeerID(), nil); !errors.Is(err, parley.ErrNoRequest) {
		t.Fatalf("answering nothing gives %v", err)
	}
	own := bob.ask(alice, "of Bob")
	alice.want(parley.RequestReceived)
	for what, id := range map[string]parley.ID{"none": {}, "of nobody": {Dialer: alice.PeerID()}, "of his own": own} {
		if err := bob.Reply(id, nil); !errors.Is(err, parley.ErrUnknown) {
			t.Errorf("answering an exchange %s gives %v", what, err)
		}
	}

	one, two := alice.askIn("one", bob, ""), alice.askIn("two", bob, "")
	bob.want(parley.RequestReceived)
	bob.want(parley.RequestReceived)
	bob.until("he has both in hand", func() bool { return bob.exchange(one).State == "delivered" && bob.exchange(two).State == "delivered" })
	if err := bob.Response(alice.PeerID(), []byte("which?")); !errors.Is(err, parley.ErrAmbiguous) {
		t.Fatalf("answering one of two gives %v", err)
	}
	bob.reply(one, "by its ID")
	if err := bob.Response(alice.PeerID(), []byte("the only one left")); err != nil {
		t.Fatal(err)
	}
	if err := bob.Response(alice.PeerID(), nil); !errors.Is(err, parley.ErrNoRequest) {
		t.Fatalf("answering when all is answered gives %v", err)
	}
	got := map[parley.ID]string{}
	for range 2 {
		e := alice.want(parley.ReplyReceived)
		got[e.ID] = string(e.Body)
	}
	if got[one] != "by its ID" || got[two] != "the only one left" {
		t.Fatalf("the replies are %v", got)
	}
}

func TestSameAnswerTwice(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	for _, test := range []struct {
		name          string
		answer, other func(parley.ID) error
	}{
		{
			"reply", func(id parley.ID) error { return bob.Reply(id, []byte("yes")) },
			func(id parley.ID) error { return bob.Reply(id, []byte("no")) },
		},
		{
			"large reply", func(id parley.ID) error { return bob.Reply(id, make([]byte, 1<<20)) },
			func(id parley.ID) error { return bob.Reject(id, "no") },
		},
		{
			"rejection", func(id parley.ID) error { return bob.Reject(id, "no") },
			func(id parley.ID) error { return bob.Reply(id, []byte("yes")) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := alice.ask(bob, "a question")
			bob.want(parley.RequestReceived)
			alice.untilStored(id)
			alice.stop() // so that the answer waits
			if err := errors.Join(test.answer(id), test.answer(id)); err != nil {
				t.Fatalf("giving the same answer twice: %v", err)
			}
			if err := test.other(id); !errors.Is(err, parley.ErrAnswered) {
				t.Fatalf("another answer gives %v", err)
			}
			alice = alice.again()
			if e := alice.next(); e.ID != id || e.Kind != parley.ReplyReceived && e.Kind != parley.ExchangeFailed {
				t.Fatalf("the answer came as %+v", e)
			}
			if err := alice.Commit(id); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// More requests than Serve answers at once wait, and it hears all the same which
// have been given up.
func TestServeWhoseEveryPlaceIsTaken(t *testing.T) {
	alice, bob := pair(t, nil)
	const width, more = 64, 3
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, over, ended := make(chan string, width+more), make(chan string, width+more), make(chan error, 1)
	go func() {
		ended <- bob.Serve(ctx, func(ctx context.Context, r *parley.Request) ([]byte, error) {
			begun <- r.Lane
			<-ctx.Done()
			over <- r.Lane
			return nil, ctx.Err()
		})
	}()
	ids := map[string]parley.ID{}
	ask := func(lane string) {
		ids[lane] = alice.askIn(lane, bob, lane)
	}
	for i := range width {
		ask(fmt.Sprint(i))
	}
	for range width {
		<-begun
	}
	for i := range more {
		ask(fmt.Sprint("waits ", i))
		lane := fmt.Sprint("waits ", i)
		bob.until("it is taken", func() bool {
			x, err := bob.Exchange(ids[lane])
			return err == nil && x.State == "delivered"
		})
	}

	cancelled := func(lane string) {
		t.Helper()
		if err := alice.Cancel(ids[lane]); err != nil {
			t.Fatal(err)
		}
		alice.want(parley.ExchangeFailed)
	}
	cancelled("waits 0")
	bob.until("it is known to be over", func() bool { // or the news of the next may come first
		x, err := bob.Exchange(ids["waits 0"])
		return err == nil && x.State == "abandoned"
	})
	cancelled("7")
	if lane := <-over; lane != "7" {
		t.Fatalf("the context of lane %s has ended", lane)
	}
	if lane := <-begun; lane != "waits 1" {
		t.Fatalf("lane %q is begun", lane)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("Serve ended with %v", err)
	}
	if e := bob.wantBody(parley.RequestReceived, "waits 2"); e.Redelivered { // it never reached the function
		t.Fatalf("what Serve had not begun came as %+v", e)
	}
}
