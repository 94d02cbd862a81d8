package fsm

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each test is a rule of docs/protocol.md, section 9, in words.

func TestNoRequestLeavesBeforeSentIsDurable(t *testing.T) {
	n, _ := connectedNode(t)
	n.request(1, "")
	n.wantSent("the first exchange", "HELLO", "REQUEST 1")
	if !n.ready.Batch.Sync {
		t.Fatal("the REQUEST goes out in a turn that isn't synced")
	}
	if x := restored(t, n.m.config, n.durable, n.now).made[tag(1)]; x == nil || !x.sent {
		t.Fatal("a crash now would forget that it was sent")
	}
}

func TestMarksAsSentWithTheRequestItselfWhileItDials(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	n.request(1, "")
	n.connect(alice, true)
	n.wantSent("connected", "HELLO", "REQUEST 1")
	if n.ready.Batch.Sync {
		t.Fatal("the mark was durable, and is synced again")
	}
}

func TestLaterAttemptsBeginWithResume(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(broken(c))
	n.wait(2 * second)
	c = n.connect(alice, true)
	n.wantSent("a second connection", "HELLO", "RESUME 1")
	n.arrive(c, 4, n.goAhead(1))
	n.wantSent("the responder hasn't got it", "REQUEST 1")
	n.restart(true)
	n.step(Listed{Peer: alice})
	n.connect(alice, true)
	n.wantSent("after a crash", "HELLO", "RESUME 1")
}

func TestALargeRequestIsOfferedByResume(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.largeOutgoing(1, "")}})
	n.wantSent("65 KiB", "HELLO", "RESUME 1")
	n.arrive(c, 2, n.goAhead(1))
	n.wantSent("room is reserved", "REQUEST 1")
}

func TestAnAttemptWithoutAnAnswerIsRepeatedOnAnotherStream(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 3, n.welcome(0))
	n.wait(10 * second)
	n.wantDone("no answer", Reset{c, 2})
	n.wantState("no answer", 1, Backoff)
	n.wait(second)
	n.wantSent("after the backoff", "RESUME 1")
	if s := n.sentFrame(wire.Resume); s.Stream == 2 {
		t.Fatal("on the stream that was reset")
	}
}

func TestNackPutsOffWithoutEnd(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	for i := range 10 {
		s := n.m.made[tag(1)].stream.id
		n.arrive(c, s, n.nack(1).with(func(f *wire.Frame) { f.RetryAfter = 40 * second }))
		n.wantState("refused for now", 1, Backoff)
		if got := n.m.made[tag(1)].retry.Sub(n.now); got != 40*second {
			t.Fatalf("NACK %d: tries again after %v, the peer asked for 40 s", i, got)
		}
		n.wait(40 * second)
		n.wantSent("again", "RESUME 1")
	}
	n.arrive(c, n.m.made[tag(1)].stream.id, n.nack(1))
	if got := n.m.made[tag(1)].retry.Sub(n.now); got > 30*second || got < 15*second {
		t.Fatalf("after 11 NACKs it tries again in %v, at most 30 s and half of it by chance", got)
	}
}

func TestALaneHasOneExchangeOnItsWayAndTheNextRidesWithTheAcknowledgement(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "a"), n.outgoing(3, "b")}})
	n.wantSent("two lanes", "HELLO", "REQUEST 1", "REQUEST 3")
	n.arrive(c, 2, n.ack(1), n.reply(1))
	n.wantSent("answered", "ACK of REPLY 1", "REQUEST 2")
	if first, second := n.ready.Actions[0].(Send), n.ready.Actions[1].(Send); first.Stream != second.Stream {
		t.Fatal("the next exchange opens a stream, though one has just become free")
	}
}

func TestALaneIsKeptWhileItsExchangeIsBeingCancelled(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, ""), n.outgoing(2, "")}})
	n.step(Cancel{Call: 1, Name: made(1)})
	n.wantAnswer("told at once", nil)
	n.wantSent("cancelled after it was sent", "CANCEL 1")
	n.wantTold("at once", "cancelled 1")
	n.wantState("held", 2, Queued)
	n.arrive(c, 2, n.ack(1))
	n.wantSent("an ACK of the request says nothing of the CANCEL")
	n.arrive(c, 2, n.ackCancel(1))
	n.wantSent("confirmed", "REQUEST 2")
}

func TestAnExchangeThatWasNeverSentIsOverAtOnce(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, ""), n.outgoing(2, ""), n.outgoing(3, "")}})
	n.step(Cancel{Name: made(2)})
	n.wantSent("nobody has heard of it")
	n.wantState("over", 2, Cancelled)
	n.arrive(c, 2, n.reply(1))
	n.wantSent("its place is taken", "ACK of REPLY 1", "REQUEST 3")
}

func TestCancelGoesOutAgainUntilItIsConfirmed(t *testing.T) {
	for _, confirmed := range []struct {
		by   string
		with func(*node) frame
	}{
		{"ACK of CANCEL", func(n *node) frame { return n.ackCancel(1) }},
		{"REJECT ENDED", func(n *node) frame { return n.reject(1, wire.Ended) }},
		{"REJECT POLICY", func(n *node) frame { return n.reject(1, wire.Policy) }},
		{"REJECT TOO_LARGE", func(n *node) frame { return n.reject(1, wire.TooLarge) }},
	} {
		n, c := connectedNode(t)
		n.request(1, "")
		n.arrive(c, 2, n.welcome(0))
		n.step(Cancel{Name: made(1)})
		n.wait(10 * second)
		n.wantSent("no answer to CANCEL", "CANCEL 1")
		n.arrive(c, 4, n.nackCancel(1))
		n.wantSent("not now")
		n.wait(2 * second)
		n.wantSent("not now, then", "CANCEL 1")
		n.step(broken(c))
		n.wait(2 * second)
		c = n.connect(alice, true)
		n.wantSent("on every connection", "HELLO", "CANCEL 1")
		n.arrive(c, n.m.lastStream, confirmed.with(n))
		n.wantState(confirmed.by, 1, Cancelled)
		if open := n.m.Peers(n.now)[0].Made; open != 0 {
			t.Fatalf("confirmed by %s, %d are open", confirmed.by, open)
		}
	}
}

func TestTheWelcomeToAHelloWithoutItConfirmsACancel(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, ""), n.outgoing(2, "")}})
	n.arrive(c, 2, n.welcome(0))
	n.step(broken(c), Cancel{Name: made(1)})
	n.wait(2 * second)
	c = n.connect(alice, true)
	n.wantSent("the HELLO leaves it out", "HELLO", "CANCEL 1")
	if open, err := wire.DecodeOpen(n.sentFrame(wire.Hello).Payload.Inline, 3); err != nil || !slices.Equal(open, []uint64{2}) {
		t.Fatalf("HELLO lists %v, %v", open, err)
	}
	n.arrive(c, n.m.lastStream, n.welcome(2))
	n.wantSent("the WELCOME to it", "REQUEST 2")
	n.wantState("confirmed", 1, Cancelled)
}

func TestAWelcomeToAnEarlierHelloConfirmsNothing(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(Cancel{Name: made(1)})
	n.arrive(c, 2, n.welcome(1))
	n.wantState("listed by that HELLO", 1, Cancelling)
}

func TestAReplyAfterTheEndIsRejected(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(Cancel{Name: made(1)})
	n.arrive(c, 2, n.reply(1))
	n.wantSent("cancelled meanwhile", "REJECT ENDED of REPLY 1")
	n.arrive(c, 2, n.ackCancel(1))
	n.arrive(c, 3, n.reply(1))
	n.wantSent("over", "REJECT ENDED of REPLY 1")
	n.arrive(c, 3, n.reply(1).ofEpoch(n.epoch()-1))
	n.wantSent("of an older epoch", "REJECT ENDED of REPLY 1")
}

func TestExpiryIsToldAtItsMomentAndCancels(t *testing.T) {
	n, _ := connectedNode(t)
	first, second := n.outgoing(1, ""), n.outgoing(2, "")
	first.Deadline, second.Deadline = n.now.Add(5*time.Second), n.now.Add(5*time.Second)
	n.step(Enqueue{Requests: []Outgoing{first, second}})
	if got := n.sentFrame(wire.Request).Frame.Remaining; got != 5*time.Second {
		t.Fatalf("the responder is told of %v", got)
	}
	n.wait(5 * time.Second)
	n.wantSent("sent, and never sent", "CANCEL 1")
	n.wantTold("both", "expired 1", "expired 2")
}

func TestTheTimeRemainingIsRoundedUp(t *testing.T) {
	n, _ := connectedNode(t)
	o := n.outgoing(1, "")
	o.Deadline = n.now.Add(time.Millisecond)
	n.now = n.now.Add(300 * time.Microsecond)
	n.step(Enqueue{Requests: []Outgoing{o}})
	if got := n.sentFrame(wire.Request).Frame.Remaining; got != time.Millisecond {
		t.Fatalf("of 700 µs the responder is told %v, and 0 is no deadline", got)
	}
}

func TestAReplyIsDurableBeforeItIsAcknowledged(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reply(1))
	n.wantSent("it may come before the ACK of the request", "ACK of REPLY 1")
	if !n.ready.Batch.Sync || len(n.ready.Batch.Payloads) != 1 {
		t.Fatal("acknowledged, and not stored")
	}
	if len(n.ready.Batch.Drop) != 1 {
		t.Fatal("the request's payload is kept though the outcome is durable")
	}
}

func TestAReplyCountsFromAStreamThatTheResponderOpened(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1))
	n.arrive(c, 3, n.reply(1))
	n.wantSent("a late one", "ACK of REPLY 1", "HELLO")
	n.wantDone("its own stream has no answer", Reset{c, 2})
}

func TestAReplyForWhichThereIsNoRoomIsAskedForLater(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxStoredPerPeer = 10 })
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b")}})
	n.arrive(c, 2, n.reply(1))
	n.wantSent("one may always be stored", "ACK of REPLY 1")
	n.arrive(c, 4, n.reply(2))
	n.wantSent("no room", "NACK of REPLY 2")
	n.step(Commit{Name: made(1)})
	n.wait(2 * second)
	n.wantSent("asked again", "RESUME 2")
	n.arrive(c, n.m.made[tag(2)].stream.id, n.ack(2), n.reply(2))
	n.wantSent("room", "ACK of REPLY 2")
}

func TestAFullDiskTakesTheRepliesThatMakeRoom(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b"), n.outgoing(3, "c")}})
	n.m.SetFull(n.now, true)
	n.arrive(c, 2, n.reply(1))
	n.wantSent("its request makes way for it", "ACK of REPLY 1")
	n.arrive(c, 4, n.reply(2))
	n.wantSent("one of each peer, until it is committed", "NACK of REPLY 2")
	large := n.reply(3).with(func(f *wire.Frame) { f.Size = 100 << 10 })
	n.offer(c, 6, large)
	n.wantSent("nor a large one beside it", "NACK of REPLY 3")
	n.step(Commit{Name: made(1)})
	n.wait(2 * second)
	n.wantSent("asked again", "RESUME 2", "RESUME 3")
	n.offer(c, n.m.made[tag(3)].stream.id, large)
	n.wantDone("one of any size", Accept{c, n.m.made[tag(3)].stream.id})
}

func TestRepliesAndRequestsHaveBudgetsOfTheirOwn(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxStored, c.MaxStoredPerPeer = 10, 10 })
	n.request(1, "")
	_, s := n.accept(alice)
	n.arrive(n.conns, s, request(1, "a"))
	n.wantSent("a request fills its budget", "ACK of REQUEST 1")
	n.arrive(n.conns, n.stream(), request(2, "b"))
	n.wantSent("no more requests", "NACK of REQUEST 2")
	n.arrive(c, 2, n.reply(1))
	n.wantSent("and a reply has its own", "ACK of REPLY 1")
}

func TestRequestsThatFillTheirBudgetLeaveRepliesTheirs(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxStored, c.MaxStoredPerPeer = 20, 20 })
	n.request(1, "a")
	n.request(2, "b")
	_, s := n.accept(alice)
	n.arrive(n.conns, s, request(1, "a"))
	n.arrive(n.conns, n.stream(), request(2, "b"))
	n.wantSent("a request fills its budget", "ACK of REQUEST 2")
	n.arrive(c, 2, n.reply(1))
	n.arrive(c, 4, n.reply(2))
	n.wantSent("the second reply", "ACK of REPLY 2")
}

func TestAReplyThatIsTooLargeIsARejection(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	if got := n.sentFrame(wire.Request).Frame.LargestReply; got != 1<<20 {
		t.Fatalf("the responder is told of %d", got)
	}
	n.offer(c, 2, n.reply(1).with(huge))
	n.wantSent("5 MiB", "REJECT TOO_LARGE of REPLY 1")
	n.wantTold("to the application", "rejected 1")
}

func TestALargeReplyIsReadAsItsRoomIsTaken(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	large := n.largeReply(1)
	n.offer(c, 2, large)
	n.wantDone("65 KiB", Accept{c, 2})
	if n.m.room.replyBytes != largeSize {
		t.Fatalf("%d bytes are reserved", n.m.room.replyBytes)
	}
	n.wait(8 * second)
	n.step(Progress{c, 2})
	n.wait(8 * second)
	n.wantState("it moves", 1, Sending)
	n.arrive(c, 2, large)
	n.wantSent("it has come", "ACK of REPLY 1")
	n.wantTold("it has come", "reply 1")
}

func TestAReplyWithAnotherTagHalts(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reply(1).ofTag(9))
	n.wantSent("another request's reply")
	n.wantNotice("another request's reply", JournalRolledBack)
	n.wantState("nothing is decided", 1, Halted)
}

func TestAcknowledgementsCountOnlyOnTheStreamThatIsBound(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.nack(1))
	n.wait(second)
	for _, f := range []frame{n.ack(1), n.nack(1), n.goAhead(1), n.reject(1, wire.Ended), n.reject(1, wire.Mismatch), n.ackCancel(1)} {
		n.arrive(c, 3, f)
		n.wantNothing(frameName(f.Frame) + " on another stream")
		n.arrive(c, 2, f.ofEpoch(n.epoch()-1))
		n.wantNothing(frameName(f.Frame) + " of an older epoch")
	}
}

func TestContinueAfterAckMeansThatTheResponderLostItsJournal(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1))
	n.step(broken(c))
	n.wait(2 * second)
	c = n.connect(alice, true)
	n.arrive(c, n.m.lastStream, n.goAhead(1))
	n.wantNotice("it denies what it had acknowledged", PeerLostJournal)
	if f := n.sentFrame(wire.Request).Frame; !f.PossiblySeen {
		t.Fatal("not marked as possibly seen")
	}
	if !n.ready.Batch.Sync {
		t.Fatal("the mark isn't durable")
	}
	n.arrive(c, n.m.lastStream, n.ack(1), n.reply(1))
	n.wantTold("answered", "reply 1 possibly seen")
}

func TestWaitingForAReplyItPollsAtGrowingIntervals(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1))
	n.step(broken(c))
	var last time.Duration
	for range 12 {
		n.wait(n.ready.Deadline.Sub(n.now))
		n.wantDone("it is time", Dial{Peer: alice})
		before := n.now
		n.step(DialFailed{Peer: alice, Err: errAbsent})
		wait := n.ready.Deadline.Sub(before)
		if wait < last || wait > 300*second {
			t.Fatalf("after %v it waits for %v", last, wait)
		}
		last = wait
	}
	if last != 225*second { // PollMax less half of it by chance
		t.Fatalf("at last it waits for %v", last)
	}
	n.request(2, "other")
	if wait := n.ready.Deadline.Sub(n.now); wait > 30*second {
		t.Fatalf("a new request waits for %v", wait)
	}
	n.connect(alice, false)
	n.wantSent("the peer calls", "HELLO", "RESUME 1", "REQUEST 2")
}

func TestAfterALastAcknowledgementThatMayBeLostItDialsOnceMoreForHello(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.reply(1))
	n.step(broken(c))
	n.wantDone("nobody knows whether it arrived", Dial{Peer: alice})
	c = n.connect(alice, true)
	n.wantSent("HELLO says it", "HELLO")
	n.arrive(c, n.m.lastStream, n.welcome(1))
	n.step(broken(c))
	n.wait(400 * second)
	n.wantDone("once was enough")
}

func TestHelloIsSentAgainAfterManySilentEnds(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxQueuedPerPeer, c.MaxQueued, c.History = 5000, 5000, 5 })
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.ack(1))
	for i := 2; i < 2+maxSilent; i++ {
		n.m.Step(n.now, Enqueue{Requests: []Outgoing{n.outgoing(i, "")}})
		n.m.Step(n.now, Cancel{Name: made(i)})
	}
	n.turn()
	n.wantSent("1,024 were cancelled before they were sent")
	n.m.Step(n.now, Enqueue{Requests: []Outgoing{n.outgoing(2000, "")}})
	n.step(Cancel{Name: made(2000)})
	n.wantSent("one more", "HELLO")
}

func TestNoMoreThanTheWindowIsGiven(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxQueuedPerPeer, c.MaxQueued, c.History = 1<<17, 1<<17, 5 })
	n.request(1, "held")
	n.arrive(c, 2, n.welcome(0), n.ack(1))
	d := &n.m.peer(alice).dialer
	d.next = wire.MaxOpen // as if all between had been given, and ended
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(2, "")}})
	n.wantAnswer("the 65,536th", nil)
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(3, "")}})
	n.wantAnswer("one more", ErrQueueFull)
}
