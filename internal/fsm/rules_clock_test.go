package fsm

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// All that waits for a span goes on as it was, whichever way the wall clock is set.
func TestWhatWaitsForASpanHeedsNoClockThatIsSet(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		n := newNode(t)
		n.step(Listed{Peer: alice}, Listed{Peer: bob})
		c := n.connect(alice, true)
		n.request(1, "")
		s := n.stream()
		late := n.connect(bob, false) // which owes us its HELLO
		n.arrive(late, s, request(1, ""))
		deadlineBefore := n.ready.Deadline
		left := deadlineBefore.Sub(n.now)

		n.now = n.now.Add(by)
		n.step(ClockSet{By: by})
		if now := n.ready.Deadline.Sub(n.now); now != left {
			t.Errorf("set by %v, the next is due in %v, it was in %v", by, now, left)
		}
		if r := n.wait(n.m.config.AckTimeout - time.Second); len(r.Actions) > 0 {
			t.Errorf("set by %v, there is %+v too early", by, r.Actions)
		}
		if r := n.wait(3 * time.Second); len(r.Actions) == 0 || n.m.stats.Timeouts != 1 {
			t.Errorf("set by %v, nothing is sent again on %d", by, c)
		}
	}
}

// askedWithinAMinute is a node that alice has asked something with a deadline.
func askedWithinAMinute(t *testing.T) *node {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	c, s := n.accept(alice)
	asked := request(1, "")
	asked.Remaining = time.Minute
	n.arrive(c, s, asked)
	return n
}

// A deadline of the peer's comes as what is left of it.
func TestAPeersDeadlineIsAsFarWhenTheClockIsSet(t *testing.T) {
	n := askedWithinAMinute(t)
	n.now = n.now.Add(-5 * time.Hour)
	n.step(ClockSet{By: -5 * time.Hour})
	y := n.m.peers[alice].responder.open[1]
	if left := y.deadline.Sub(n.now); left != time.Minute {
		t.Fatalf("%v are left of a minute", left)
	}
	n.restart(true)
	if again := n.m.peers[alice].responder.open[1]; !again.deadline.Equal(y.deadline) {
		t.Fatalf("started again, the deadline is %v, it was %v", again.deadline, y.deadline)
	}
}

func TestATornPeersDeadlineIsAsFarWhenTheClockIsSet(t *testing.T) {
	n := askedWithinAMinute(t)
	n.step(Enqueue{Requests: []Outgoing{{Peer: alice, Tag: wire.Tag{1}, Dialable: true}}})
	delete(n.written, string(append([]byte{dialerKey}, alice...)))
	n.m = restored(t, n.m.config, n.written, n.now)
	n.turn()
	n.now = n.now.Add(-5 * time.Hour)
	n.step(ClockSet{By: -5 * time.Hour})
	n.step(Renew{Peer: alice})
	if y := n.m.peers[alice].responder.open[1]; y == nil || y.deadline.Sub(n.now) != time.Minute {
		t.Fatalf("of a minute %+v is left", y)
	}
}

func TestAPeerIsKeptOutForAsLongWhenTheClockIsSet(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Violated{Conn: c, Rule: "a rule"})
	was := n.m.blamed[alice].until.Sub(n.now)
	n.now = n.now.Add(-5 * time.Hour)
	r := n.step(ClockSet{By: -5 * time.Hour})
	if left := n.m.blamed[alice].until.Sub(n.now); left != was || len(r.Batch.Records) != 1 {
		t.Fatalf("kept out for %v, not %v, and %d records are written", left, was, len(r.Batch.Records))
	}
	if got := r.Actions; len(got) != 1 || got[0] != (Shun{alice, n.now.Add(was)}) {
		t.Fatalf("the network is told %+v", got)
	}
}

// A peer whose time is over stays let in, however far the clock is set back: by this
// node's machine, and by the network, which has the moment of old.
func TestAPeerThatWasLetInStaysInWhenTheClockIsSetBack(t *testing.T) {
	n, c := connectedNode(t)
	n.step(Violated{Conn: c, Rule: "a rule"})
	n.step(Disconnected{Conn: c})
	n.wait(time.Minute + 2*time.Second)
	n.now = n.now.Add(-5 * time.Hour)
	r := n.step(ClockSet{By: -5 * time.Hour})
	if until := n.m.keptOut(alice, n.now); !until.IsZero() {
		t.Errorf("kept out again for %v", until.Sub(n.now))
	}
	if !slices.Contains(r.Actions, Action(Shun{Peer: alice})) {
		t.Errorf("the network is told %+v", r.Actions)
	}
}
