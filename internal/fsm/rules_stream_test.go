package fsm

import (
	"strings"
	"testing"

	"github.com/parley-p2p/parley/internal/wire"
)

// A stream carries one exchange, of the side that opened it.

func TestADialersFrameOnAStreamOfTheOtherSideIsAViolation(t *testing.T) {
	for _, f := range []frame{hello(theirEpoch, 1), request(1, ""), resume(1, ""), cancel(1)} {
		n, c := connectedNode(t)
		n.request(1, "")
		n.arrive(c, 3, hello(theirEpoch, 1))
		n.arrive(c, 2, f)
		n.wantViolation(frameName(f.Frame) + " on a stream that this node opened")
	}
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 3, hello(theirEpoch, 1))
	n.offer(c, 2, largeRequest(1, ""))
	n.wantViolation("a large one")
}

func TestAReplyOnTheStreamOfAnotherExchangeIsAViolation(t *testing.T) {
	begin := func() (*node, Conn) {
		n, c := connectedNode(t)
		n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "b")}})
		n.arrive(c, 3, hello(theirEpoch, 1), request(1, ""))
		return n, c
	}
	for _, stream := range []Stream{4, 3} {
		n, c := begin()
		n.arrive(c, stream, n.reply(1))
		n.wantViolation("a reply to 1")
		n, c = begin()
		n.arrive(c, stream, n.reject(1, wire.Policy))
		n.wantViolation("a rejection of 1")
		n, c = begin()
		n.step(Cancel{Name: made(1)})
		n.arrive(c, stream, n.reject(1, wire.Policy))
		n.wantViolation("a rejection of 1, which is being cancelled")
	}
}

// Found by simulation: the side that had refused a reply for lack of room, and had
// used the stream of that exchange for a reply of its own, was blamed.
func TestAStreamWhoseReplyWasPutOffCarriesAnother(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 3, hello(theirEpoch, 1), request(1, ""))
	n.step(Taken{Name: asked(1)})
	n.answer(1)
	n.wantSent("the answer", "REPLY 1")
	n.arrive(c, 3, nackReply(1))
	n.arrive(c, 3, n.reply(1))
	n.wantSent("the peer's own reply on the stream that is free again", "ACK of REPLY 1", "HELLO")
	n.arrive(c, 3, resume(1, ""))
	n.wantSent("and the answer, when the peer has room", "ACK of REQUEST 1", "REPLY 1")
}

func TestAnEpochThatNoClockGivesIsAViolation(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reply(1).ofEpoch(1<<62+1))
	n.wantViolation("a reply from the far future")
	n, c = connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reject(1, wire.Fenced).with(func(f *wire.Frame) { f.Known = 1<<62 + 1 }))
	n.wantViolation("a fence in the far future")
	n, c = connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reject(1, wire.Fenced).with(func(f *wire.Frame) { f.Known = f.Epoch }))
	n.wantViolation("a fence that fences nothing")
}

// brought is a reply on a stream that this node opened.
func brought(t *testing.T, reply Payload) (*node, Conn, Stream) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.step(Closed{c, s})
	if reply.Inline == nil {
		n.payloads[reply.Number] = true
	}
	n.step(Respond{Name: asked(1), Payload: reply})
	n.wantSent("brought", "REPLY 1")
	return n, c, n.sentFrame(wire.Reply).Stream
}

func TestAStreamOnWhichAReplyWasBroughtIsKeptUnlessItsPayloadWasStopped(t *testing.T) {
	small := Payload{Hash: hashOf("small"), Size: 5, Number: 900, Inline: []byte("small")}
	large := Payload{Hash: hashOf("large"), Size: largeSize, Number: 901}
	for _, f := range []frame{nackReply(1), rejectReply(1, wire.Ended)} {
		n, c, s := brought(t, small)
		n.arrive(c, s, f)
		n.wantDone("read to its end")
		n.request(1, "")
		if got := n.sentFrame(wire.Request).Stream; got != s {
			t.Fatalf("%s: sent on stream %d", frameName(f.Frame), got)
		}
		n, c, s = brought(t, large)
		n.arrive(c, s, f)
		n.wantDone("stopped on its way", Reset{c, s})
	}
}

func TestAReplyWaitsForAStreamAtTheLimit(t *testing.T) {
	n, c, s := askedNode(t, func(c *Config) { c.MaxStreams = 1 })
	n.request(1, "")
	n.arrive(c, 2, n.welcome(0))
	n.arrive(c, s, request(1, ""))
	n.told()
	n.step(Closed{c, s})
	n.answer(1)
	n.wantSent("the one stream is taken")
	n.arrive(c, 2, n.ack(1), n.reply(1))
	n.wait(second)
	n.wantSent("it is free", "REPLY 1")
}

func TestAFrameOnAStreamThatWasResetIsTooLate(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.arrive(c, n.stream(), resume(1, ""))
	n.wantDone("listened elsewhere", Reset{c, s})
	n.arrive(c, s, resume(1, ""))
	n.wantNothing("it was on its way")
	n.offer(c, s, largeRequest(2, "b"))
	n.wantNothing("it was on its way")
}

func TestDescribesAtMostEightSpans(t *testing.T) {
	n, c, s := askedNode(t)
	for seq := uint64(2); seq < 24; seq += 2 {
		n.arrive(c, s, cancel(seq))
	}
	key := "e" + string(alice) + "\x00\x00\x00\x00\x00\x00\x00\x00"
	got := Describe([]byte(key), n.written[key], nil)
	if want := "ended by 616c696365, 2, 4, 6, 8, 10, 12, 14, 16 and 3 more spans"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestDescribesAStateOfALaterVersionByItsNumber(t *testing.T) {
	b := Batch{}
	x := &outbound{peer: newPeer(alice), name: made(1), outcome: 77}
	x.save(&b)
	if got := Describe(b.Records[0].Key, b.Records[0].Value, nil); !strings.Contains(got, "state 77") {
		t.Fatal(got)
	}
}

func TestAnOutcomeWhoseCallHasGoneIsAnEventLikeAnyOther(t *testing.T) {
	n, c := connectedNode(t)
	o := n.outgoing(1, "")
	o.Waited = true
	n.step(Enqueue{Requests: []Outgoing{o}})
	n.arrive(c, 2, n.reply(1))
	n.m.Unwait(made(1))
	if _, ok := n.m.DeliverWaited(); ok {
		t.Fatal("given to a call that has gone")
	}
	n.wantTold("told", "reply 1")
}
