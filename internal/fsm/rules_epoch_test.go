package fsm

import (
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each test is a rule of docs/protocol.md, section 7, in words.

func TestAnEpochIsTheClockButNeverAStepBack(t *testing.T) {
	if got := newEpoch(time.UnixMilli(500), 0); got != 500 {
		t.Errorf("a new journal begins with %d", got)
	}
	if got := newEpoch(time.UnixMilli(500), 900); got != 901 {
		t.Errorf("with the clock set back it goes on with %d", got)
	}
	if got := newEpoch(time.UnixMilli(-5), 0); got != 1 {
		t.Errorf("before 1970 it begins with %d", got)
	}
}

func TestTheEpochIsDurableBeforeAFrameCarriesIt(t *testing.T) {
	n, _ := connectedNode(t)
	n.request(1, "")
	if d := restored(t, n.m.config, n.durable, n.now).peer(alice).dialer; d.epoch != n.sentFrame(wire.Hello).Frame.Epoch {
		t.Fatalf("on disk: epoch %d", d.epoch)
	}
}

func TestAResponderFencesASmallerEpoch(t *testing.T) {
	n, c, s := askedNode(t)
	for _, f := range []frame{hello(theirEpoch-1, 1), request(1, ""), resume(1, ""), cancel(1)} {
		n.arrive(c, s, f.ofEpoch(theirEpoch-1))
		got := n.sentFrame(wire.Reject).Frame
		if got.Refusal != wire.Fenced || got.Known != theirEpoch || got.Epoch != theirEpoch-1 {
			t.Fatalf("%s is answered by %+v", frameName(f.Frame), got)
		}
	}
}

func TestAGreaterEpochAbandonsWhatIsOlder(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, "a"))
	n.arrive(c, n.stream(), cancel(7))
	n.told()
	n.arrive(c, n.stream(), hello(theirEpoch+1, 1))
	n.wantSent("a new era", "WELCOME")
	n.wantTold("it was in hand", "abandoned 1")
	if got := n.sentFrame(wire.Welcome).Frame; got.Next != 0 || got.Epoch != theirEpoch+1 {
		t.Fatalf("WELCOME %+v", got)
	}
	if r := restored(t, n.m.config, n.durable, n.now).peer(alice).responder; r.epoch != theirEpoch+1 || r.ended.highest() != 0 {
		t.Fatalf("on disk: epoch %d, seen %d", r.epoch, r.ended.highest())
	}
	n.arrive(c, s, ackReply(1))
	n.wantNothing("a late word of the older epoch")
}

func TestAFreshDialerThatIsFencedAdoptsOnce(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	first := n.epoch()
	n.arrive(c, 2, n.reject(1, wire.Fenced))
	n.wantSent("nothing was ever acknowledged", "HELLO", "REQUEST 1")
	if n.epoch() != first+11 || !n.ready.Batch.Sync {
		t.Fatalf("epoch %d, synced %v", n.epoch(), n.ready.Batch.Sync)
	}
	n.arrive(c, 4, n.reject(1, wire.Fenced))
	n.wantNotice("a second time", PeerFenced)
	n.wantState("a second time", 1, Halted)
}

func TestADialerThatWasAcknowledgedAndIsFencedHalts(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.ack(1))
	n.arrive(c, 2, n.reject(1, wire.Fenced))
	n.wantNotice("somebody else has the key", PeerFenced)
	n.wantSent("nothing more")
	n.step(Enqueue{Call: 1, Requests: []Outgoing{n.outgoing(2, "")}})
	n.wantAnswer("halted", ErrFenced)
	n.step(Renew{Call: 1, Peer: alice})
	n.wantAnswer("the operator decides", nil)
	n.wantSent("goes on", "HELLO", "REQUEST 1")
	if f := n.sentFrame(wire.Request).Frame; !f.PossiblySeen || f.Tag != tag(1) {
		t.Fatalf("REQUEST %+v", f)
	}
}

func TestRenewKeepsTagsAndOrderAndMarksWhatWasSent(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "a"), n.outgoing(3, "b")}})
	n.arrive(c, 2, n.reply(1))
	first := n.epoch()
	n.step(Renew{Peer: alice})
	n.wantSent("two are open", "HELLO", "REQUEST 1", "REQUEST 2")
	if n.epoch() <= first {
		t.Fatalf("epoch %d after %d", n.epoch(), first)
	}
	for number, seq := range map[int]uint64{2: 1, 3: 2} {
		if x := n.m.made[tag(number)]; x.seq != seq || !x.possiblySeen {
			t.Fatalf("exchange %d: seq %d, possibly seen %v", number, x.seq, x.possiblySeen)
		}
	}
	n.step(Renew{Call: 1, Peer: bob})
	n.wantAnswer("nothing was ever made for bob", ErrUnknown)
}

func TestRenewEndsWhatIsBeingCancelled(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, ""), n.outgoing(2, "")}})
	n.arrive(c, 2, n.ack(1))
	n.step(Cancel{Name: made(1)}, Commit{Name: made(1)})
	n.step(Renew{Peer: alice})
	n.wantSent("the new epoch ends it there", "HELLO", "REQUEST 1")
	n.wantState("over", 1, Cancelled)
	n.restart(false)
	if x := n.m.made[tag(2)]; x == nil || x.seq != 1 || len(n.m.peer(alice).dialer.open) != 1 {
		t.Fatal("restored otherwise")
	}
}

func TestAConfirmedCancellationStaysConfirmedInLaterEpochs(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(Cancel{Name: made(1)})
	n.arrive(c, 2, n.ackCancel(1))
	n.step(Renew{Peer: alice})
	n.request(2, "")
	n.restart(true)
	if d := n.m.peer(alice).dialer; len(d.open) != 1 || d.open[1].name != made(2) {
		t.Fatalf("open: %v", d.open)
	}
}

func TestSignsOfAnOldJournalHalt(t *testing.T) {
	for _, sign := range []struct {
		what string
		f    func(*node) frame
		kind NoticeKind
		err  error
	}{
		{"REJECT ENDED of an open exchange", func(n *node) frame { return n.reject(1, wire.Ended) }, JournalRolledBack, ErrRolledBack},
		{"WELCOME that has seen what wasn't given", func(n *node) frame { return n.welcome(2) }, JournalRolledBack, ErrRolledBack},
		{"REPLY to a number that wasn't given", func(n *node) frame { return n.reply(1).ofEpoch(n.epoch() + 1) }, JournalRolledBack, ErrRolledBack},
		{"REJECT MISMATCH", func(n *node) frame { return n.reject(1, wire.Mismatch) }, PeerMismatch, ErrMismatch},
	} {
		n, c := connectedNode(t)
		n.step(Enqueue{Requests: []Outgoing{n.outgoing(1, "a"), n.outgoing(2, "a")}})
		if sign.f(n).Kind == wire.Welcome {
			n.step(Cancel{Name: made(2)})
			n.arrive(c, 2, n.welcome(3))
		} else {
			n.arrive(c, 2, sign.f(n))
		}
		n.wantNotice(sign.what, sign.kind)
		n.wantState(sign.what, 1, Halted)
		n.arrive(c, 3, n.reply(1))
		n.wantNothing("replies aren't answered meanwhile")
		n.restart(true)
		n.step(Listed{Peer: alice})
		n.wantDone("halted after a restart as well")
		n.wantState("halted after a restart as well", 1, Halted)
		if got := n.m.Peers(n.now)[0].Halt; got != sign.err {
			t.Fatalf("%s: %v", sign.what, got)
		}
		n.step(Renew{Call: 1, Peer: alice})
		n.wantAnswer("the operator decides", nil)
		n.wantDone("goes on", Dial{Peer: alice})
	}
}

// Found by simulation: a dialer whose journal was set back to before it had sent a
// request blamed the responder that answered it.
func TestAReplyToWhatThisJournalNeverSentHaltsAndBlamesNobody(t *testing.T) {
	for _, answer := range []func(*node) frame{func(n *node) frame { return n.reply(2) }, func(n *node) frame { return n.reject(2, wire.Policy) }} {
		n, c := connectedNode(t)
		n.request(1, "lane")
		n.request(2, "lane") // which waits for the first
		n.arrive(c, 3, answer(n))
		n.wantNotice("somebody has sent it", JournalRolledBack)
		n.wantState("it goes on when the operator renews", 2, Halted)
	}
}

func TestAPeerThatWasNeverAskedCanBeRenewedAfterALateReply(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, frame{wire.Frame{Kind: wire.Reply, Epoch: 7_000_000_000_000, Seq: 1, Tag: tag(1), Hash: hashOf("")}, nil})
	n.wantNotice("a journal was lost", JournalRolledBack)
	n.step(Renew{Call: 1, Peer: alice})
	n.wantAnswer("the operator decides", nil)
	if n.epoch() != 7_000_000_000_001 {
		t.Fatalf("epoch %d", n.epoch())
	}
}

func TestAHaltConcernsTheDialerAlone(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.reject(1, wire.Mismatch))
	n.arrive(c, 3, hello(theirEpoch, 1), request(1, ""))
	n.wantSent("as responder it goes on", "WELCOME", "ACK of REQUEST 1")
}
