package fsm

import (
	"slices"
	"testing"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each test is a rule of docs/protocol.md, sections 8 and 10, in words.

// askedNode has a connection that alice dialled and greeted.
func askedNode(t testing.TB, change ...func(*Config)) (*node, Conn, Stream) {
	n := newNode(t, change...)
	n.step(Listed{Peer: alice})
	c, s := n.accept(alice)
	return n, c, s
}

func TestARequestIsDurableBeforeItIsAcknowledged(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.wantSent("new", "ACK of REQUEST 1")
	if !n.ready.Batch.Sync || restored(t, n.m.config, n.durable, n.now).got[asked(1)] == nil {
		t.Fatal("acknowledged, and not durable")
	}
	n.wantTold("once", "request 1")
	n.arrive(c, s, request(1, ""), resume(1, ""))
	n.wantSent("again and again", "ACK of REQUEST 1", "ACK of REQUEST 1")
	n.wantTold("never twice")
}

func TestARequestIsHeldBackUntilItsHello(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	c := n.connect(alice, false)
	n.arrive(c, 3, request(1, "a"))
	n.wantSent("on another stream than HELLO")
	n.offer(c, 5, largeRequest(2, "b"))
	n.arrive(c, 7, resume(3, "c"))
	n.arrive(c, 9, hello(theirEpoch, 4, 1, 2))
	n.wantSent("HELLO says that 3 has ended", "WELCOME", "ACK of REQUEST 1", "REJECT ENDED of REQUEST 3")
	n.wantDone("and 2 is wanted", Accept{c, 5})
}

func TestARequestWhoseHelloNeverComesIsLetGo(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	c := n.connect(alice, false)
	n.arrive(c, 3, request(1, "a"))
	n.wait(n.m.config.DisconnectionTimeout)
	n.wantDone("no HELLO for so long", Disconnect{Conn: c})
	n.wantNotice("it may be a slow line")
	n = newNode(t)
	n.step(Listed{Peer: alice})
	c = n.connect(alice, false)
	n.arrive(c, 3, request(1, "a"), cancel(1))
	n.wantNothing("a request and its cancel")
	n.arrive(c, 3, request(2, "a"))
	n.wantViolation("a third frame on the stream")
}

func TestHelloEndsWhatItOmitsAndOnlyEverEnds(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.arrive(c, n.stream(), request(2, "b"))
	n.told()
	n.answer(2)
	n.arrive(c, n.stream(), hello(theirEpoch, 5, 3))
	n.wantSent("1, 2 and 4 are over", "WELCOME")
	if !n.ready.Batch.Sync || n.sentFrame(wire.Welcome).Frame.Next != 4 {
		t.Fatalf("it has seen %d, synced %v", n.sentFrame(wire.Welcome).Frame.Next, n.ready.Batch.Sync)
	}
	n.wantAsked("unanswered", 1, Abandoned)
	n.wantAsked("replied", 2, AnsweredThere)
	n.wantTold("it was in hand", "abandoned 1")
	n.arrive(c, n.stream(), hello(theirEpoch, 3, 1, 2))
	n.arrive(c, n.stream(), request(1, "a"))
	n.wantSent("a late HELLO brings nothing back", "REJECT ENDED of REQUEST 1")
	n.arrive(c, n.stream(), request(3, "a"))
	n.wantSent("what it listed is open to come", "ACK of REQUEST 3")
}

func TestLowEndsEverythingBelowIt(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, n.stream(), request(9, "b").withLow(9))
	n.wantSent("9, and nothing before it", "ACK of REQUEST 9")
	n.wantAsked("it was replied", 1, AnsweredThere)
	n.arrive(c, n.stream(), request(5, "c"))
	n.wantSent("below low", "REJECT ENDED of REQUEST 5")
}

func TestEndedNumbersAreKeptAsSpans(t *testing.T) {
	n, c, s := askedNode(t)
	for _, seq := range []uint64{3, 5, 4, 9} {
		n.arrive(c, s, cancel(seq))
	}
	r := &n.m.peer(alice).responder
	if want := []span{{3, 5}, {9, 9}}; r.ended.low != 1 || !slices.Equal(r.ended.spans, want) {
		t.Fatalf("low %d, spans %v", r.ended.low, r.ended.spans)
	}
	n.arrive(c, s, cancel(1), cancel(2))
	if want := []span{{9, 9}}; r.ended.low != 6 || !slices.Equal(r.ended.spans, want) {
		t.Fatalf("low %d, spans %v", r.ended.low, r.ended.spans)
	}
	for seq, want := range map[uint64]string{2: "REJECT ENDED of REQUEST 2", 4: "REJECT ENDED of REQUEST 4", 6: "ACK of REQUEST 6", 9: "REJECT ENDED of REQUEST 9"} {
		n.arrive(c, n.stream(), request(seq, string(rune('a'+seq))))
		n.wantSent("deduplicated by the set", want)
	}
}

func TestACancelOfAnUnknownExchangeIsATombstone(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, cancel(1))
	n.wantSent("unknown", "ACK of CANCEL 1")
	if !n.ready.Batch.Sync {
		t.Fatal("acknowledged, and not durable")
	}
	n.arrive(c, n.stream(), request(1, ""))
	n.wantSent("its REQUEST came out of an old socket", "REJECT ENDED of REQUEST 1")
	n.arrive(c, s, cancel(1))
	n.wantSent("again", "ACK of CANCEL 1")
}

func TestACancelWithAnotherTagIsAMismatch(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.arrive(c, s, cancel(1).ofTag(9))
	n.wantSent("another's", "REJECT MISMATCH of CANCEL 1")
	n.wantNotice("another's", PeerDiffers)
	n.wantAsked("unchanged", 1, Stored)
}

func TestTheSameNumberWithAnotherTagHashOrLaneIsAMismatch(t *testing.T) {
	for what, f := range map[string]frame{
		"tag":  request(1, "a").ofTag(9),
		"hash": request(1, "a").with(otherHash),
		"lane": request(1, "b"),
	} {
		n, c, s := askedNode(t)
		n.arrive(c, s, request(1, "a"))
		n.arrive(c, s, f)
		n.wantSent("another "+what, "REJECT MISMATCH of REQUEST 1")
		n.wantNotice("another "+what, PeerDiffers)
		n.arrive(c, s, f.with(func(f *wire.Frame) { f.Kind = wire.Resume }))
		n.wantSent("another "+what, "REJECT MISMATCH of REQUEST 1")
		n.wantAsked("unchanged", 1, Stored)
	}
}

// Found by simulation: a dialer whose journal was set back knows nothing of what is in
// its lane. It was blamed in the turn that would have told it so, and so for ever.
func TestASecondUnansweredRequestOfALaneIsAMismatch(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, n.stream(), request(2, "a"))
	n.wantSent("1 is answered, if not acknowledged", "ACK of REQUEST 2")
	n.arrive(c, n.stream(), request(3, "a"))
	n.wantSent("2 isn't answered", "REJECT MISMATCH of REQUEST 3")
	n.wantNotice("the operator is told", PeerDiffers)
	n.wantAsked("unchanged", 2, Stored)
}

func TestATagThatIsOpenUnderAnotherNumberIsAViolation(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.arrive(c, n.stream(), request(2, "b").ofTag(1))
	n.wantViolation("the tag of 1")
	n, c, s = askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.arrive(c, n.stream(), resume(2, "b").ofTag(1).with(huge))
	n.wantViolation("the tag of 1, too large")
}

func TestMoreThan65536NumbersAreAViolation(t *testing.T) {
	n, c, _ := askedNode(t)
	n.arrive(c, n.stream(), request(wire.MaxOpen, "a"))
	n.wantSent("the last of the window", "ACK of REQUEST 65536")
	n.arrive(c, n.stream(), request(wire.MaxOpen+1, "b"))
	n.wantViolation("one beyond")
	n, c, _ = askedNode(t)
	n.arrive(c, n.stream(), hello(theirEpoch, 10+wire.MaxOpen, 5))
	n.wantViolation("HELLO from 5 on")
}

func TestANewerResumeResetsTheOlderStream(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	newer := n.stream()
	n.arrive(c, newer, resume(1, ""))
	n.wantDone("the dialer listens elsewhere now", Reset{c, s})
	n.told()
	n.answer(1)
	if got := n.sentFrame(wire.Reply).Stream; got != newer {
		t.Fatalf("the reply goes out on %d", got)
	}
}

func TestRoomReservedByContinueIsFreeWhenItsStreamEnds(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, largeResume(1, "a"))
	n.wantSent("room", "CONTINUE 1")
	if n.m.room.requestBytes != largeSize {
		t.Fatalf("%d bytes are reserved", n.m.room.requestBytes)
	}
	n.step(Closed{c, s})
	if n.m.room.requestBytes != 0 || len(n.m.got) != 0 {
		t.Fatalf("%d bytes are still reserved", n.m.room.requestBytes)
	}
	n.arrive(c, n.stream(), largeResume(1, "a"), largeResume(2, "b"))
	n.wantSent("another exchange takes the stream over", "CONTINUE 1", "CONTINUE 2")
	if n.m.room.requestBytes != largeSize {
		t.Fatalf("%d bytes are reserved", n.m.room.requestBytes)
	}
}

func TestALargeRequestThatIsKnownIsNotReadAgain(t *testing.T) {
	n, c, s := askedNode(t)
	large := largeRequest(1, "")
	n.arrive(c, s, largeResume(1, ""))
	n.offer(c, s, large)
	n.wantDone("room is reserved", Accept{c, s})
	n.step(Progress{c, s})
	n.arrive(c, s, large)
	n.wantSent("stored", "ACK of REQUEST 1")
	again := n.stream()
	n.offer(c, again, large)
	n.wantDone("once more", Reset{c, again})
	n.arrive(c, n.stream(), large)
	if len(n.ready.Batch.Drop) != 1 {
		t.Fatal("a second upload stays in the journal")
	}
}

func TestLimitsAnswerNackAndLeaveEveryPeerOne(t *testing.T) {
	n, c, s := askedNode(t, func(c *Config) { c.MaxOpen, c.MaxStored = 1, 10 })
	n.arrive(c, s, request(1, "a"))
	n.wantSent("the first", "ACK of REQUEST 1")
	n.arrive(c, n.stream(), request(2, "b"))
	n.wantSent("the limit", "NACK of REQUEST 2")
	n.arrive(c, n.stream(), resume(2, "b").with(huge))
	n.wantSent("a refusal would be remembered too", "NACK of REQUEST 2")
	n.step(Listed{Peer: bob})
	c = n.connect(bob, false)
	n.arrive(c, n.stream(), hello(theirEpoch, 1), request(1, "a"))
	n.wantSent("bob's reserve", "WELCOME", "ACK of REQUEST 1")
}

func TestAFullDiskTakesNothingNew(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.m.SetFull(n.now, true)
	n.m.SetFull(n.now, true)
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(1, "")}})
	n.wantNotice("told once", JournalTrouble)
	n.wantAnswer("full", ErrDiskFull)
	n.arrive(c, n.stream(), request(2, "b"))
	n.wantSent("full", "NACK of REQUEST 2")
	n.answer(1)
	n.wantSent("what is there goes on", "REPLY 1")
	n.m.SetFull(n.now, false)
	n.arrive(c, n.stream(), request(2, "b"))
	n.wantSent("room again", "ACK of REQUEST 2")
}

func TestTooLargeIsRecordedUntilTheDialerKnows(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, resume(1, "a").with(huge))
	n.wantSent("5 MiB", "REJECT TOO_LARGE of REQUEST 1")
	n.restart(true)
	n.step(Listed{Peer: alice})
	c, s = n.accept(alice)
	n.arrive(c, s, resume(1, "a").with(huge))
	n.wantSent("the same after a crash", "REJECT TOO_LARGE of REQUEST 1")
	n.arrive(c, s, ackReply(1).with(func(f *wire.Frame) { f.Hash = hashOf("") }))
	n.arrive(c, n.stream(), resume(1, "a").with(huge))
	n.wantSent("it knows", "REJECT ENDED of REQUEST 1")
}

func TestTheRoomOfRecordedRefusalsIsLimited(t *testing.T) {
	n, c, _ := askedNode(t, func(c *Config) { c.MaxOpenPerPeer = 2 })
	for seq := range uint64(2) {
		n.arrive(c, n.stream(), resume(seq+1, "a").with(huge))
	}
	n.arrive(c, n.stream(), resume(3, "a").with(huge))
	n.wantSent("a third", "NACK of REQUEST 3")
}

func TestAReplyGoesOnItsStreamElseOnOneOfTheResponders(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.step(Closed{c, s})
	n.answer(1)
	if got := n.sentFrame(wire.Reply); got.Stream%2 != 0 {
		t.Fatalf("the reply goes out on %d", got.Stream)
	}
	n.wait(10 * second)
	n.wantSent("no word of it", "REPLY 1")
	n.arrive(c, n.sentFrame(wire.Reply).Stream, ackReply(1))
	n.wantAsked("acknowledged", 1, AnsweredThere)
}

func TestALateReplyIsBroughtByDialling(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.step(broken(c))
	n.answer(1)
	n.wait(2 * second)
	n.wantDone("nobody is connected", Dial{Peer: alice})
	n.connect(alice, true)
	n.wantSent("the dialer is given time to ask")
	n.wait(second)
	n.wantSent("and isn't asking", "REPLY 1")
}

func TestAReplyWaitsToBeAskedForWhereNoAddressIsKnown(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.step(broken(c))
	n.answer(1)
	n.wait(2 * second)
	n.step(DialFailed{Peer: alice, Err: ErrNoAddress})
	n.wait(3600 * second)
	n.wantDone("there is nowhere to dial")
	c, s = n.accept(alice)
	n.arrive(c, s, resume(1, "a"))
	n.wantSent("asked for", "ACK of REQUEST 1", "REPLY 1")
}

func TestAckOfAnotherReplyKeepsOurs(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, s, ackReply(1).with(otherHash))
	n.wantNotice("another hash", PeerDiffers)
	n.wantAsked("kept", 1, Replying)
	n.arrive(c, s, rejectReply(1, wire.Ended).ofTag(9))
	n.wantNotice("another tag", PeerDiffers)
	n.wantAsked("kept", 1, Replying)
}

func TestNackKeepsTheReplyUntilResume(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, s, nackReply(1))
	n.wait(50 * second)
	n.wantSent("it waits")
	n.arrive(c, s, resume(1, "a"))
	n.wantSent("asked for", "ACK of REQUEST 1", "REPLY 1")
}

// Found by simulation: the dialer had got the reply from an older stream since, and its
// acknowledgement was lost with that. It had nothing to ask for, and was dialled for ever.
func TestAReplyThatWasPutOffIsBroughtOnANewConnection(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, s, nackReply(1))
	n.step(broken(c))
	c = n.connect(alice, true)
	n.wantSent("the dialer may ask for it")
	n.wait(2 * second)
	n.wantSent("it hasn't", "REPLY 1")
	n.arrive(c, n.m.lastStream, rejectReply(1, wire.Ended))
	n.wantAsked("it had it", 1, AnsweredThere)
}

// Found by simulation: a stream on which a reply was still to be acknowledged was used
// for a large one, and the refusal of the first taken for that of the second.
func TestAStreamWhoseReplyIsUnacknowledgedIsNotUsedAgain(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.step(Closed{c, s})
	n.answer(1)
	n.wantSent("on a stream of this node's", "REPLY 1")
	own := n.sentFrame(wire.Reply).Stream
	n.arrive(c, n.stream(), request(2, "b").with(func(f *wire.Frame) { f.Low = 2 }))
	n.wantAsked("the dialer has ended it", 1, AnsweredThere)
	n.wantDone("what it says to the reply is still to come", Reset{c, own})
}

func TestALateRejectionTravelsAsTheReplyWould(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.step(Refuse{Call: 1, Name: asked(1), Reason: "no"})
	n.wantAnswer("refused", nil)
	f := n.sentFrame(wire.Reject).Frame
	if f.Refusal != wire.Policy || f.Tag != tag(1) || f.Text != "no" || f.Hash != hashOf("no") {
		t.Fatalf("sent %+v", f)
	}
	n.arrive(c, s, resume(1, "a"))
	n.wantSent("again", "ACK of REQUEST 1", "REJECT POLICY of REQUEST 1")
	n.arrive(c, s, ackReply(1).with(func(f *wire.Frame) { f.Hash = hashOf("no") }))
	n.wantAsked("acknowledged", 1, AnsweredThere)
}

func TestWhatTheOperatorForgetsIsRefusedFromThenOn(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.step(Forget{Call: 1, Name: asked(1)})
	n.wantAnswer("forgotten", nil)
	if len(n.ready.Batch.Drop) != 1 || !n.ready.Batch.Sync {
		t.Fatal("the reply is kept")
	}
	n.arrive(c, n.stream(), resume(1, "a"))
	n.wantSent("asked for after all", "REJECT POLICY of REQUEST 1")
	n.step(Forget{Call: 1, Name: asked(7)})
	n.wantAnswer("unknown", ErrUnknown)
}

// Found by simulation: a dialer that knows that its request is stored doesn't ask
// again while it is connected, and was never told.
func TestADialerThatIsConnectedIsToldThatTheAnswerWasForgotten(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.answer(1)
	n.arrive(c, s, nackReply(1))
	n.step(Forget{Call: 1, Name: asked(1)})
	n.wantSent("at once", "REJECT POLICY of REQUEST 1")
	n.step(Closed{c, n.m.lastStream})
	n.wait(2 * second)
	n.wantSent("again, since it may be lost", "REJECT POLICY of REQUEST 1")
}

func TestTheDialerIsToldWhenTheApplicationHasItsRequest(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.turn()
	n.wait(second)
	n.wantSent("no answer for a second", "ACK of REQUEST 1")
	if !n.sentFrame(wire.Ack).Frame.Delivered {
		t.Fatal("not marked as delivered")
	}
	n.wait(50 * second)
	n.wantSent("once")
}

func TestRespondAnswersThePeersOnlyRequestInHand(t *testing.T) {
	n, c, s := askedNode(t)
	respond := func() { n.step(Respond{Call: 1, Peer: alice, Payload: n.text("reply")}) }
	respond()
	n.wantAnswer("none", ErrNoRequest)
	n.arrive(c, s, request(1, "a"))
	respond()
	n.wantAnswer("not handed out yet", ErrNoRequest)
	n.told()
	n.arrive(c, n.stream(), request(2, "b"))
	respond()
	n.wantAnswer("one of the two is in hand", nil)
	n.arrive(c, n.stream(), request(3, "c"))
	n.told()
	respond()
	n.wantAnswer("2 and 3", ErrAmbiguous)
}

func TestAnAnswerToWhatHasEndedSaysWhy(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.told()
	n.arrive(c, s, cancel(1))
	n.wantTold("it was in hand", "abandoned 1")
	n.answer(1)
	n.wantAnswer("cancelled meanwhile", ErrAbandoned)
	n.arrive(c, s, request(2, "a"))
	n.answer(2)
	n.answer(2)
	n.wantAnswer("the same once more", nil)
	n.step(Respond{Call: 1, Name: asked(2), Payload: n.text("another")})
	n.wantAnswer("another", ErrAnswered)
	n.arrive(c, s, ackReply(2))
	n.step(Refuse{Call: 1, Name: asked(2)})
	n.wantAnswer("over", ErrAnswered)
	n.arrive(c, s, largeResume(3, "a"))
	n.answer(3)
	n.wantAnswer("nobody has it yet", ErrUnknown)
}
