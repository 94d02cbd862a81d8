package fsm

import (
	"testing"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each test is a rule of docs/protocol.md, section 8, in words.

func TestHelloIsTheFirstFrameOfTheFirstStreamOnEveryConnection(t *testing.T) {
	n, _ := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b")}})
	n.wantSent("once", "HELLO", "REQUEST 1", "REQUEST 2")
	if hello, first := n.ready.Actions[0].(Send), n.ready.Actions[1].(Send); hello.Stream != first.Stream {
		t.Fatal("on a stream of its own")
	}
}

func TestAHelloLostWithItsStreamIsSentAgainOnEachConnection(t *testing.T) {
	n, c := connectedNode(t)
	d := n.connect(alice, false)
	n.request(1, "")
	n.wantSent("on the connection that it dialled", "HELLO", "REQUEST 1")
	n.arrive(c, n.m.lastStream, n.welcome(0))
	lost := n.m.take(n.now, n.m.conns[d])
	n.step(Tick{})
	n.wantSent("on the other, ahead of a late reply, say", "HELLO")
	n.step(Closed{Conn: d, Stream: lost.id})
	n.wantSent("requests may wait for it there", "HELLO")
	if again := n.ready.Actions[0].(Send); again.Conn != d {
		t.Fatalf("sent on connection %d", again.Conn)
	}
}

func TestASideThatNeverMadeARequestSendsNoHello(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.step(Closed{c, s})
	n.answer(1)
	n.wantSent("it only answers", "REPLY 1")
	n.request(1, "")
	n.wantSent("and becomes a dialer", "HELLO", "REQUEST 1")
}

func TestAReplyOnAFirstStreamComesAfterHello(t *testing.T) {
	n, c, s := askedNode(t)
	n.request(1, "")
	n.arrive(c, s, request(1, ""))
	n.told()
	n.step(broken(c))
	n.answer(1)
	n.wait(2 * second)
	n.connect(alice, true)
	n.wait(2 * second)
	n.wantSent("both pairs on one connection", "REPLY 1")
}

func TestTheSideThatDialledClosesAnIdleConnection(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.reply(1))
	n.wantDone("not at once, with an idle time of 5 s")
	n.wait(5 * second)
	n.wantDone("idle", Disconnect{Conn: c, Graceful: true})

	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.answer(1)
	n.arrive(c, s, ackReply(1))
	n.wait(50 * second)
	n.wantDone("the peer dialled, and closes")
	n.wait(10 * second)
	n.wantDone("until the disconnection timeout", Disconnect{Conn: c, Graceful: true})
}

func TestWithoutAnIdleTimeTheConnectionClosesWithTheLastAcknowledgement(t *testing.T) {
	n := newNode(t, func(c *Config) { c.IdleTimeout = 0 })
	n.step(Listed{Peer: alice})
	n.request(1, "")
	c := n.connect(alice, true)
	n.arrive(c, 2, n.welcome(0), n.reply(1))
	n.wantSent("the last", "ACK of REPLY 1")
	n.wantDone("at once", Disconnect{Conn: c, Graceful: true})
	n.step(Disconnected{Conn: c, Clean: true})
	n.wait(400 * second)
	n.wantDone("the peer had read it")
}

func TestAConnectionWithoutProgressIsClosedAndItsExchangesResume(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.AckTimeout = 3600 * second })
	n.request(1, "")
	n.wait(60 * second)
	n.wantDone("no word for a minute", Disconnect{Conn: c}, Dial{Peer: alice})
	n.step(broken(c))
	n.connect(alice, true)
	n.wantSent("resumes", "HELLO", "RESUME 1")
}

func TestARequestWithoutAnAnswerIsLackOfProgress(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.AckTimeout = 3600 * second })
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0))
	n.wait(60 * second)
	n.wantDone("no word but the WELCOME", Disconnect{Conn: c}, Dial{Peer: alice})
	n, c, s := askedNode(t, func(c *Config) { c.AckTimeout = 3600 * second })
	n.arrive(c, s, request(1, ""))
	n.told()
	n.answer(1)
	n.wait(60 * second)
	n.wantDone("nor of our reply", Disconnect{Conn: c}, Dial{Peer: alice})
}

func TestNothingGoesToAPeerInTheTurnThatRemovesIt(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "")}}, Unlisted{Peer: alice})
	n.wantSent("the request waits")
	n.wantDone("it is disconnected", Disconnect{Conn: c})
}

func TestWaitingForAnApplicationIsNoLackOfProgress(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.ack(1))
	n.wait(3600 * second)
	n.wantDone("the peer's application thinks")
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.wait(3600 * second)
	n.wantDone("ours thinks")
	if n.m.conns[c] == nil {
		t.Fatal("closed")
	}
}

func TestWhereBothDialledBothServeAndEachIsClosedByItsOwn(t *testing.T) {
	n, ours := connectedNode(t)
	theirs := n.connect(alice, false)
	n.request(1, "")
	if got := n.sentFrame(wire.Request).Conn; got != ours {
		t.Fatalf("sent on connection %d", got)
	}
	n.arrive(theirs, 3, hello(theirEpoch, 1), request(1, ""))
	n.wantSent("asked on the other", "WELCOME", "ACK of REQUEST 1")
	n.told()
	n.arrive(ours, 2, n.welcome(0), n.reply(1))
	n.answer(1)
	n.arrive(theirs, 3, ackReply(1))
	n.wait(30 * second)
	n.wantDone("ours", Disconnect{Conn: ours, Graceful: true})
}

func TestAStreamIsKeptForTheNextExchange(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1), n.reply(1))
	n.request(2, "")
	if got := n.sentFrame(wire.Request).Stream; got != 2 {
		t.Fatalf("sent on stream %d", got)
	}
}

func TestAStreamWhosePayloadWasRefusedIsNotKept(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.largeOutgoing(1, "")}})
	n.arrive(c, 2, n.welcome(0), n.goAhead(1))
	n.arrive(c, 2, n.nack(1))
	n.wantDone("the sender resets it", Reset{c, 2})
	n.request(2, "b")
	n.offer(c, 4, n.reply(2).with(huge))
	n.wantSent("and the receiver waits for that", "REJECT TOO_LARGE of REPLY 2")
	n.request(3, "b")
	if got := n.sentFrame(wire.Request).Stream; got != 6 {
		t.Fatalf("sent on stream %d", got)
	}
}

func TestStreamsAreLimitedAndTheOldestThatOnlyWaitsIsParked(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxStreams = 2 })
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b"), n.outgoing(3, "c")}})
	n.wantSent("two streams", "HELLO", "REQUEST 1", "REQUEST 2")
	n.arrive(c, 2, n.welcome(0), n.ack(1))
	n.wantSent("1 only waits for its reply", "REQUEST 3")
	n.wantDone("its stream is given up", Reset{c, 2})
	n.arrive(c, 3, n.reply(1))
	n.wantSent("which comes on another", "ACK of REPLY 1")
}

func TestFramesOfAConnectionThatIsOverChangeNothing(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(Hangup{alice})
	n.arrive(c, 2, n.ack(1))
	n.wantSent("closing")
	n.arrive(c, 3, hello(theirEpoch, 1))
	n.wantSent("closing")
	n.step(broken(c))
	n.arrive(c, 2, n.largeReply(1))
	if len(n.ready.Batch.Drop) != 1 {
		t.Fatal("a payload that nobody wants stays in the journal")
	}
	n.offer(c, 2, n.largeReply(1))
	n.wantNothing("gone")
	n.step(Closed{c, 2}, Progress{c, 2}, broken(c))
	n.wantNothing("gone")
}

func TestAPeerOffTheListIsDisconnectedAndItsExchangesSuspended(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "a")}})
	_, s := n.accept(alice)
	n.arrive(n.conns, s, request(1, "a"))
	n.step(Unlisted{Peer: alice})
	n.wantDone("at once", Disconnect{Conn: c}, Disconnect{Conn: n.conns})
	n.wantNotice("with exchanges open", PeerSuspended)
	n.wantState("it waits", 1, Suspended)
	n.wantTold("its request is held back")
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(3, "")}})
	n.wantAnswer("nothing new", ErrNotListed)
	n.step(broken(c), broken(n.conns))
	n.wait(3600 * second)
	n.wantDone("nothing goes to it")
	n.step(Connected{Conn: 9, Peer: alice})
	n.wantDone("nor comes from it", Disconnect{Conn: 9})
	n.step(broken(9), Listed{Peer: alice})
	n.wantDone("it goes on", Dial{Peer: alice})
	n.wantTold("it goes on", "request 1")
}

func TestAPeerThatBrokeARuleIsNotDialledAtOnce(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ackCancel(1))
	n.wantViolation("an acknowledgement of what was never said")
	n.wantDone("and nothing else", Shun{Peer: alice, Until: morning.Add(second)})
	n.step(broken(c))
	n.wantDone("it may cool off")
	n.wait(2 * second)
	n.wantDone("its exchange isn't lost", Dial{Peer: alice})
}

func TestAHangupIsNotUndoneAtOnce(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(Hangup{alice})
	n.wantDone("the application's word", Disconnect{Conn: c, Graceful: true})
}

func TestEveryoneIsAdmittedWhereNoListIsKept(t *testing.T) {
	n := newNode(t)
	n.request(1, "")
	n.step(Listed{Peer: bob}, Everyone{})
	n.request(2, "")
	n.wantDone("also who was never listed", Dial{Peer: alice})
	n.step(Unlisted{Peer: alice})
	n.wantNothing("there is no list to be off")
	if peers := n.m.Peers(n.now); len(peers) != 1 || !peers[0].Listed || peers[0].Made != 1 || !peers[0].Dialing {
		t.Fatalf("peers %+v", peers)
	}
}

func TestDisconnectAllClosesEverything(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Listed{Peer: bob})
	d := n.connect(bob, false)
	if got := n.m.DisconnectAll(); len(got) != 2 || got[0] != (Disconnect{Conn: c}) || got[1] != (Disconnect{Conn: d}) {
		t.Fatalf("did %v", got)
	}
}
