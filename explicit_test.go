package parley_test

import (
	"errors"
	"testing"

	"github.com/parley-p2p/parley"
)

// passingOn has a node pass its events on, as the daemon does.
func passingOn(t testing.TB) func(*parley.Config) {
	return func(c *parley.Config) {
		onDisk(t)(c)
		c.ExplicitCommit, c.ExplicitTake = true, true
	}
}

func TestARequestCountsAsTakenOnlyByTake(t *testing.T) {
	alice, bob := pair(t, passingOn(t))
	id := alice.ask(bob, "a request")
	e := bob.want(parley.RequestReceived)
	if len(e.Body) != 0 {
		t.Errorf("it came with %q", e.Body)
	}
	if x, err := bob.Exchange(id); err != nil || x.Taken {
		t.Fatalf("before it was taken it is %+v (%v)", x, err)
	}
	if err := bob.Take(id); err != nil {
		t.Fatal(err)
	}
	if x, err := bob.Exchange(id); err != nil || !x.Taken {
		t.Fatalf("taken, it is %+v (%v)", x, err)
	}
	if body, err := bob.Body(id); err != nil || string(body) != "a request" {
		t.Fatalf("its body is %q (%v)", body, err)
	}
	if err := bob.Reply(id, []byte("a reply")); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Body(id); !errors.Is(err, parley.ErrUnknown) {
		t.Errorf("the body of what is answered: %v", err)
	}
	alice.want(parley.ReplyReceived)
	alice = alice.restart()
	alice.want(parley.ReplyReceived) // wasn't committed
	if body, err := alice.Body(id); err != nil || string(body) != "a reply" {
		t.Fatalf("the reply is %q (%v)", body, err)
	}
	if err := alice.Commit(id); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Body(id); !errors.Is(err, parley.ErrUnknown) {
		t.Errorf("the reply of what is committed: %v", err)
	}
}

// A request that was abandoned isn't one that Response could mean, whether anybody
// took it or not.
func TestAnAbandonedRequestIsInNobodysHand(t *testing.T) {
	for _, taken := range []bool{false, true} {
		alice, bob := pair(t, passingOn(t))
		id := alice.ask(bob, "never mind")
		bob.want(parley.RequestReceived)
		if taken {
			if err := bob.Take(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := alice.Cancel(id); err != nil {
			t.Fatal(err)
		}
		bob.want(parley.RequestAbandoned)
		next := alice.ask(bob, "but this")
		bob.want(parley.RequestReceived)
		if err := bob.Take(next); err != nil {
			t.Fatal(err)
		}
		if err := bob.Response(alice.PeerID(), []byte("a reply")); err != nil {
			t.Errorf("taken %v: %v", taken, err)
		}
	}
}

func TestAProbeTellsHowFarItComes(t *testing.T) {
	alice, bob := pair(t, func(c *parley.Config) { impatient(c) })
	last := func(p parley.Probe, err error) parley.ProbeStep {
		t.Helper()
		if err != nil || len(p.Steps) == 0 {
			t.Fatalf("the probe is %+v (%v)", p, err)
		}
		return p.Steps[len(p.Steps)-1]
	}
	if s := last(alice.Probe(t.Context(), bob.PeerID())); !errors.Is(s.Err, parley.ErrNoAddress) {
		t.Errorf("without an address it comes to %+v", s)
	}
	if s := last(alice.Probe(t.Context(), newKey(t).PeerID())); !errors.Is(s.Err, parley.ErrNotListed) {
		t.Errorf("of a stranger it comes to %+v", s)
	}
	alice.knows(bob)
	p, err := alice.Probe(t.Context(), bob.PeerID())
	if s := last(p, err); s.Name != "answer" || !p.OK() {
		t.Errorf("of a peer that is well it comes to %+v", s)
	}
	bob.config.AllowList.Remove(alice.PeerID())
	p, err = alice.Probe(t.Context(), bob.PeerID())
	if s := last(p, err); s.Name != "listed" || !errors.Is(s.Err, parley.ErrNotTaken) || p.OK() {
		t.Errorf("of one that doesn't list this node it comes to %+v", s)
	}
	if alice.Healthy() != nil {
		t.Errorf("the node is %v", alice.Healthy())
	}
	alice.stop()
	if _, err := alice.Probe(t.Context(), bob.PeerID()); !errors.Is(err, parley.ErrClosed) {
		t.Errorf("of a closed node: %v", err)
	}
	if err := alice.Healthy(); !errors.Is(err, parley.ErrClosed) {
		t.Errorf("closed, it is %v", err)
	}
	if _, err := alice.Body(parley.ID{}); !errors.Is(err, parley.ErrClosed) {
		t.Errorf("closed, it has a body: %v", err)
	}
}

// knows lists where another node listens.
func (n *node) knows(other *node) {
	n.t.Helper()
	member, _ := n.config.AllowList.Member(other.PeerID())
	member.Addresses = []string{other.address}
	if err := n.config.AllowList.Add(member); err != nil {
		n.t.Fatal(err)
	}
}
