package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each test is a rule of what the application is told, and of what is kept.

func TestOutcomesAreToldAgainAfterARestartUntilTheyAreCommitted(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b"), n.outgoing(3, "c")}})
	n.arrive(c, 4, n.reply(2))
	n.arrive(c, 2, n.reply(1))
	n.step(Cancel{Name: made(3)})
	n.wantTold("in the order of their ends", "reply 2", "reply 1", "cancelled 3")
	n.step(Commit{Call: 1, Name: made(1)})
	n.wantAnswer("durable", nil)
	n.restart(true)
	n.wantTold("what wasn't committed", "reply 2 again", "cancelled 3 again")
	n.step(Commit{Call: 1, Name: made(2)}, Commit{Name: made(3)})
	if len(n.payloads) != 0 {
		t.Fatalf("payloads %v are kept", n.payloads)
	}
	n.step(Commit{Call: 1, Name: made(2)})
	n.wantAnswer("once more", nil)
	n.restart(true)
	n.wantTold("all is committed")
}

func TestACommitWithoutACallIsNotWaitedFor(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reply(1))
	n.step(Commit{Name: made(1)})
	if n.ready.Batch.Sync || len(n.ready.Batch.Records) == 0 {
		t.Fatalf("synced %v, %d records", n.ready.Batch.Sync, len(n.ready.Batch.Records))
	}
}

func TestNamesThatNameNothingAreRefused(t *testing.T) {
	n, _ := connectedNode(t)
	n.request(1, "")
	n.step(Commit{Call: 1, Name: made(1)})
	n.wantAnswer("open", ErrOpen)
	for _, in := range []Input{Cancel{Call: 1, Name: made(9)}, Commit{Call: 1, Name: made(9)}, Forget{Call: 1, Name: made(9)}, Respond{Call: 1, Name: made(1)}, Cancel{Call: 1, Name: asked(1)}} {
		n.step(in)
		n.wantAnswer(fmt.Sprintf("%T", in), ErrUnknown)
	}
	n.step(Cancel{Name: made(1)})
	n.step(Cancel{Call: 1, Name: made(1)})
	n.wantAnswer("cancelled before", ErrEnded)
}

func TestUnansweredRequestsComeFirstAfterARestartInOrderOfArrival(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(2, "b"))
	n.arrive(c, n.stream(), request(1, "a").with(possiblySeen))
	n.arrive(c, n.stream(), request(3, "c"))
	n.wantTold("as they arrived", "request 2", "request 1 possibly seen", "request 3")
	n.answer(3)
	n.restart(true)
	n.wantTold("the peer isn't on the list yet")
	n.step(Listed{Peer: alice})
	c, _ = n.accept(alice)
	n.arrive(c, n.stream(), request(4, "d"))
	n.wantTold("before what is new", "request 2 again", "request 1 again possibly seen", "request 4")
}

func TestADeadlineOutlivesARestart(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	o := n.outgoing(1, "")
	o.Deadline = n.now.Add(time.Minute)
	n.step(Enqueue{Requests: []Outgoing{o}})
	n.restart(true)
	n.wait(time.Minute)
	n.wantTold("off the list as well", "expired 1")
}

func TestAnOutcomeThatACallWaitsForGoesToItAlone(t *testing.T) {
	n, c := connectedNode(t)
	first, second := n.outgoing(1, "a"), n.outgoing(2, "b")
	first.Waited, second.Waited = true, true
	n.step(Enqueue{Requests: []Outgoing{first, second}})
	n.arrive(c, 2, n.reply(1))
	n.wantTold("not an event")
	n.step(Commit{Call: 1, Name: made(1)})
	n.wantAnswer("before it was given", ErrOpen)
	if d, ok := n.m.DeliverWaited(); !ok || d.Name != made(1) {
		t.Fatalf("given %v, %v", d, ok)
	}
	if _, ok := n.m.DeliverWaited(); ok {
		t.Fatal("given twice")
	}
	n.m.Unwait(made(2))
	n.arrive(c, 4, n.reply(2))
	n.wantTold("its call has gone", "reply 2")
}

func TestAnIdempotencyKeyNamesTheSameExchange(t *testing.T) {
	n, c := connectedNode(t)
	keyed := func(number, body int) Outgoing {
		o := n.outgoing(body, "")
		o.Key, o.Tag = "key", tag(number)
		return o
	}
	n.step(Enqueue{Call: 1, Requests: []Outgoing{keyed(1, 1), keyed(2, 1)}})
	if names := n.ready.Answers[0].Names; names[0] != made(1) || names[1] != made(1) {
		t.Fatalf("made %v", names)
	}
	n.step(Enqueue{Call: 1, Requests: []Outgoing{keyed(3, 7)}})
	n.wantAnswer("another message", ErrKeyReused)
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(5, ""), keyed(6, 1)}})
	if names := n.ready.Answers[0].Names; names[0] != made(5) || names[1] != made(1) {
		t.Fatalf("made %v", names)
	}
	n.arrive(c, 2, n.reply(1))
	n.step(Commit{Name: made(1)})
	n.restart(false)
	n.step(Listed{Peer: alice}, Enqueue{Call: 1, Requests: []Outgoing{keyed(4, 1)}})
	if names := n.ready.Answers[0].Names; names[0] != made(1) {
		t.Fatalf("made %v, though history knows the key", names)
	}
	n.wait(25 * time.Hour)
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(7, "x")}}, Cancel{Name: made(7)}, Commit{Name: made(7)})
	n.step(Enqueue{Call: 1, Requests: []Outgoing{keyed(8, 8)}})
	n.wantAnswer("forgotten after a day", nil)
}

func TestRequestsAreTakenAllOrNone(t *testing.T) {
	n, _ := connectedNode(t, func(c *Config) { c.MaxQueuedPerPeer, c.MaxQueued = 2, 3 })
	enqueue := func(why string, want error, requests ...Outgoing) {
		t.Helper()
		before := len(n.m.made)
		n.step(Enqueue{Call: 1, Requests: requests})
		n.wantAnswer(why, want)
		if want != nil && len(n.m.made) != before {
			t.Fatalf("%s: some were taken", why)
		}
	}
	to := func(p Peer, number int) Outgoing {
		o := n.outgoing(number, "")
		o.Peer = p
		return o
	}
	absent := to(bob, 1)
	absent.Dialable = false
	enqueue("to itself", ErrSelf, to(us, 1))
	enqueue("bob isn't listed", ErrNotListed, to(alice, 1), to(bob, 2))
	n.step(Listed{Peer: bob})
	enqueue("nowhere to dial", ErrNoAddress, absent)
	enqueue("more than a peer's", ErrQueueFull, to(alice, 1), to(alice, 2), to(alice, 3))
	enqueue("more than there is room", ErrQueueFull, to(alice, 1), to(alice, 2), to(bob, 3), to(bob, 4))
	enqueue("one tag twice", ErrTagReused, to(alice, 1), to(alice, 1))
	enqueue("three", nil, to(alice, 1), to(alice, 2), to(bob, 3))
	enqueue("a tag that is open", ErrTagReused, to(bob, 3))
	n.m.config.MaxQueued, n.m.config.MaxStored = 10, 20
	enqueue("more bytes than there is room", ErrQueueFull, to(bob, 4))
}

func TestPayloadsAreDroppedWhenNothingNeedsThem(t *testing.T) {
	n, c := connectedNode(t)
	stored := func(why string, want int) {
		t.Helper()
		if len(n.payloads) != want {
			t.Fatalf("%s: %d payloads are kept, want %d", why, len(n.payloads), want)
		}
	}
	n.request(1, "")
	stored("the request", 1)
	n.arrive(c, 2, n.reply(1))
	stored("the outcome is durable: the reply alone", 1)
	n.step(Commit{Name: made(1)})
	stored("committed", 0)
	c, s := n.accept(alice)
	n.arrive(c, s, request(1, ""))
	stored("alice's request", 1)
	n.told()
	n.answer(1)
	stored("the answer is durable: the reply alone", 1)
	n.arrive(c, s, ackReply(1))
	stored("acknowledged", 0)
	n.arrive(c, s, request(2, ""))
	n.arrive(c, s, cancel(2))
	stored("cancelled", 0)
}

func TestASendWhosePayloadIsDroppedInTheSameTurnIsWithheld(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.step(Respond{Name: asked(1), Payload: n.text("reply 1")}, n.arrived(c, s, cancel(1)))
	n.wantSent("cancelled before the turn was over", "ACK of CANCEL 1")
}

func TestHistoryIsBoundedInNumberAndAge(t *testing.T) {
	n, _ := connectedNode(t, func(c *Config) { c.History = 3 })
	for i := 1; i <= 5; i++ {
		n.request(i, "")
		n.step(Cancel{Name: made(i)}, Renew{Peer: alice}, Commit{Name: made(i)})
	}
	for i := 1; i <= 5; i++ {
		if _, found := n.m.Exchange(made(i)); found != (i > 2) {
			t.Errorf("exchange %d is remembered: %v", i, found)
		}
	}
	n.now = n.now.Add(25 * time.Hour)
	n.request(6, "")
	n.step(Cancel{Name: made(6)}, Renew{Peer: alice}, Commit{Name: made(6)})
	if _, found := n.m.Exchange(made(5)); found {
		t.Error("older than a day")
	}
	if got := n.m.Stats().Cancelled; got != 6 {
		t.Errorf("%d are counted as cancelled", got)
	}
}

func TestExchangesAreListedOldestFirst(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.wait(second)
	n.arrive(c, 3, hello(theirEpoch, 1), request(2, ""))
	all := n.m.Exchanges()
	if len(all) != 2 || all[0].Name != made(1) || all[1].Name != asked(2) || !all[1].Acknowledged {
		t.Fatalf("listed %+v", all)
	}
	if _, found := n.m.Exchange(asked(9)); found {
		t.Fatal("found what never was")
	}
}

func TestTheAddressesOfAPeerOutliveARestart(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	o := n.outgoing(1, "")
	o.Addresses = []string{"/ip4/10.0.0.7/tcp/4001"}
	n.step(Enqueue{Requests: []Outgoing{o}})
	n.restart(true)
	n.step(Listed{Peer: alice})
	n.wantDone("where it was given", Dial{Peer: alice, Addresses: o.Addresses})
	if got := n.m.Peers(n.now)[0].Address; got != o.Addresses[0] {
		t.Fatalf("address %q", got)
	}
}

func TestARecordOfALaterVersionIsRefused(t *testing.T) {
	for _, bad := range []Record{
		{[]byte("a"), nil}, {[]byte("apeer"), []byte{9}}, {[]byte("apeer"), nil}, {[]byte("zpeer"), []byte{1}},
		{[]byte("bpeer"), []byte{1, 1}}, {[]byte("epeer"), []byte{1, 1}}, {[]byte("ep\x00\x00\x00\x00\x00\x00\x00\x00"), []byte{1, 1, 200}}, {[]byte("vpeer"), []byte{1, 1}}, {[]byte("h"), []byte{1}}, {[]byte("hserial"), []byte{1}},
		{[]byte("oshort"), []byte{1, 1, 'p'}}, {[]byte("o0123456789abcdef"), []byte{1, 1, 'p', 1, 1, 0, 0, 0, 200}},
	} {
		if err := Restore(testConfig()).Record(bad.Key, bad.Value); err == nil {
			t.Errorf("%q %v was taken", bad.Key, bad.Value)
		}
	}
}

func TestEveryStateAndKindHasAName(t *testing.T) {
	for s := Queued; s <= Cancelled; s++ {
		if s.String() == "" {
			t.Errorf("dialer's state %d", s)
		}
	}
	for s := Receiving; s <= Abandoned; s++ {
		if s.String() == "" {
			t.Errorf("responder's state %d", s)
		}
	}
	for k := RequestReceived; k <= RequestCancelled; k++ {
		if k.String() == "" {
			t.Errorf("delivery %d", k)
		}
	}
	for k := MessageDropped; k <= JournalTrouble; k++ {
		if k.String() == "" {
			t.Errorf("notice %d", k)
		}
	}
}

func TestCallsAreFoundInEveryInputThatIsAnswered(t *testing.T) {
	for _, in := range []Input{Enqueue{}, Respond{}, Refuse{}, Cancel{}, Commit{}, Renew{}, Forget{}} {
		if got := CallOf(WithCall(in, 7)); got != 7 {
			t.Errorf("%T: call %d", in, got)
		}
	}
	if CallOf(Tick{}) != 0 {
		t.Error("a Tick is answered")
	}
	defer func() {
		if recover() == nil {
			t.Error("a Tick was given a call")
		}
	}()
	WithCall(Tick{}, 7)
}

func TestAFrameOfAnUnknownKindIsAViolation(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, frame{wire.Frame{Kind: 99, Epoch: 1}, nil})
	n.wantViolation("kind 99")
}
func TestACommittedOutcomeIsNotToldWhenItsCallGoes(t *testing.T) {
	n, _ := connectedNode(t)
	o := n.outgoing(1, "")
	o.Waited = true
	n.step(Enqueue{Requests: []Outgoing{o}})
	n.step(Cancel{Name: made(1)})
	n.m.DeliverWaited()
	n.step(Commit{Name: made(1)})
	n.m.Unwait(made(1))
	n.wantTold("committed")
}
