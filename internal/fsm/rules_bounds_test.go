package fsm

import (
	"fmt"
	"testing"

	"github.com/parley-p2p/parley/internal/wire"
)

// However often something is repeated, what is noted of it doesn't grow.

// unknownReply is an acknowledgement of a reply to an exchange that is over.
func unknownReply(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfReply, Epoch: theirEpoch, Seq: seq}, nil}
}

func TestAConnectionOnWhichStreamsComeAgainAfterTheirEndIsGivenUp(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""), cancel(1))
	most := 4*n.m.config.MaxStreams + maxGone
	var actions []Action
	for range 2 * most {
		actions = append(actions, n.arrive(c, n.stream(), unknownReply(1)).Actions...)
	}
	if len(n.m.streams) > most {
		t.Fatalf("%d streams are known of one connection", len(n.m.streams))
	}
	if want := (Disconnect{Conn: c}); len(actions) != 1 || actions[0] != want {
		t.Fatalf("done: %v, want %v", actions, want)
	}
}

func TestAnExchangeAcknowledgedAgainAndAgainIsNotedOnce(t *testing.T) {
	n, c := connectedNode(t, func(c *Config) { c.MaxStreams = 2 })
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0), n.ack(1))
	for range 50 {
		n.step(Closed{c, n.m.made[tag(1)].stream.id})
		n.wait(2 * second)
		n.arrive(c, n.sentFrame(wire.Resume).Stream, n.ack(1))
	}
	if noted := len(n.m.conns[c].parkable); noted == 0 || noted > 2*2 {
		t.Fatalf("it is noted %d times", noted)
	}
}

func TestExchangesGivenUpWhileTheyWaitForAStreamAreForgotten(t *testing.T) {
	n, _ := connectedNode(t, func(c *Config) { c.MaxStreams = 1 })
	n.request(1, "")
	for i := 2; i < 100; i++ {
		n.request(i, fmt.Sprint(i))
		n.step(Cancel{Name: made(i)})
		n.step(Commit{Name: made(i)})
	}
	if waiting := len(n.m.peers[alice].dialer.waiting); waiting > 4 {
		t.Fatalf("%d wait for a stream, of one that is open", waiting)
	}
}

func TestRequestsHeldBackAndDeliveredAgainAreThereOnce(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	for range 50 {
		n.step(Unlisted{Peer: alice})
		n.step(Listed{Peer: alice})
	}
	if again := len(n.m.outbox.again); again != 1 {
		t.Fatalf("one request waits %d times", again)
	}
}

func TestWhoeverTookNoPartIsForgottenWithTheList(t *testing.T) {
	n := newNode(t)
	for i := range 50 {
		p := Peer(fmt.Sprint("peer ", i))
		n.step(Listed{Peer: p})
		n.step(Unlisted{Peer: p})
		n.step(Hangup{Peer: p})
	}
	if known := len(n.m.peers); known != 0 {
		t.Fatalf("%d peers are known", known)
	}
}

func TestWhereEveryoneIsAdmittedThereIsStillALimit(t *testing.T) {
	n := newNode(t, func(c *Config) { c.MaxOpen = 1 })
	n.step(Everyone{})
	for i := range maxPeers - 2 {
		n.m.peer(Peer(fmt.Sprint("peer ", i)))
	}
	c, s := n.accept(alice)
	n.arrive(c, s, request(1, ""))
	n.wantSent("the first", "ACK of REQUEST 1")
	c, s = n.accept(bob)
	n.arrive(c, s, request(1, ""))
	n.wantSent("MaxOpen holds for everyone", "NACK of REQUEST 1")

	n.connect("eve", false)
	n.wantDone("there are too many", Disconnect{Conn: n.conns})
	if len(n.m.peers) != maxPeers || len(n.m.conns) != 2 {
		t.Fatalf("%d peers are known, with %d connections", len(n.m.peers), len(n.m.conns))
	}
	o := n.outgoing(1, "")
	o.Peer = "eve"
	r := n.step(Enqueue{Call: 1, Requests: []Outgoing{o}})
	if len(r.Answers) != 1 || r.Answers[0].Err != ErrQueueFull {
		t.Fatalf("answered: %v", r.Answers)
	}
}

func TestWhatWaitsForAHelloIsBoundedInBytes(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	c := n.connect(alice, false)
	full := func(seq uint64) frame {
		return request(seq, fmt.Sprint(seq)).with(func(f *wire.Frame) { f.Size = wire.MaxInline })
	}
	for seq := range uint64(maxHeld / wire.MaxInline) {
		n.arrive(c, n.stream(), full(1+seq))
		n.wantNothing("it waits")
	}
	s := n.stream()
	n.arrive(c, s, full(100))
	n.wantDone("its dialer resumes it", Reset{Conn: c, Stream: s})
}
