package p2p

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
)

// probed is a probe whose steps have these names, of which the last failed with an
// error, or didn't if that is nil.
func (n *node) probed(of *node, err error, names ...string) []Step {
	n.t.Helper()
	steps := n.Probe(n.t.Context(), of.peer())
	var got []string
	for _, s := range steps {
		got = append(got, s.Name)
	}
	if last := steps[len(steps)-1]; !slices.Equal(got, names) || !errors.Is(last.Err, err) {
		n.t.Fatalf("the steps are %v, the last with %v; want %v with %v", got, last.Err, names, err)
	}
	return steps
}

// list lists another node, at these addresses.
func (n *node) listAt(other *node, addresses ...string) {
	n.t.Helper()
	if err := n.list.Add(allowlist.Member{ID: other.key.PeerID(), Addresses: addresses}); err != nil {
		n.t.Fatal(err)
	}
}

func TestAProbeOfAPeerThatIsWellTakesAllSteps(t *testing.T) {
	a, b := pair(t)
	steps := a.probed(b, nil, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
	if last := steps[5]; last.Took <= 0 || last.Detail != b.Addresses()[0] {
		t.Errorf("the last step is %+v", last)
	}
	a.quiet()
	want[fsm.Connected](b)
	if d := want[fsm.Disconnected](b); d.Err != nil {
		t.Errorf("the peer saw it end with %v", d.Err)
	}
	b.quiet() // no stream and no frame
	select {
	case notice := <-b.Priority():
		t.Errorf("the peer was told %+v", notice)
	default:
	}
	if len(a.gate.outbound) != 0 {
		t.Error("the dial is still counted")
	}
}

func TestAProbeFindsThatThisNodeDoesNotListThePeer(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.probed(b, fsm.ErrNotListed, StepAllowed)
	a.probed(a, ErrSelf, StepAllowed)
}

func TestAProbeFindsThatThereIsNoAddress(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.listAt(b)
	a.probed(b, fsm.ErrNoAddress, StepAllowed, StepResolve)
}

func TestAProbeFindsThatANameStandsForNothing(t *testing.T) {
	z := &zone{asked: map[string]int{}}
	a, b := newNode(t, func(c *Config) { c.Resolver = z }), newNode(t)
	a.listAt(b, "b.test:4001")
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepResolve || last.Err == nil || !strings.Contains(last.Err.Error(), "b.test") {
		t.Errorf("the last step is %+v", last)
	}
}

func TestAProbeFindsThatNothingListens(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.listAt(b, unused(t))
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepConnect || last.Err == nil {
		t.Errorf("the last step is %+v", last)
	}
	a.listAt(b, unused(t), b.Addresses()[0])
	b.admit(a)
	a.probed(b, nil, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
}

// unused is an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestAProbeFindsAnotherKeyAtTheAddress(t *testing.T) {
	a, b, c := newNode(t), newNode(t), newNode(t)
	a.listAt(b, c.Addresses()[0])
	steps := a.probed(b, ErrIdentityMismatch, StepAllowed, StepResolve, StepConnect, StepKey)
	if said := steps[3].Err.Error(); !strings.Contains(said, c.key.PeerID().String()) {
		t.Errorf("it says %q", said)
	}
}

func TestAProbeFindsThatThePeerDoesNotListThisNode(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	a.probed(b, ErrNotTaken, StepAllowed, StepResolve, StepConnect, StepKey, StepListed)
}

func TestAProbeOfAPeerThatCannotBeDialledAsksOnItsConnection(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.admit(b)
	b.listAt(a)
	connect(a, b)
	b.probed(a, nil, StepAllowed, StepKey, StepListed, StepAnswer)
	a.quiet()
	b.quiet()
}

func TestAProbeFindsThatNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a, b := newNode(t, func(c *Config) { c.DialTimeout = 50 * time.Millisecond }), newNode(t)
	a.listAt(b, silent.Addr().String())
	steps := a.Probe(t.Context(), b.peer())
	if last := steps[len(steps)-1]; last.Name != StepKey || last.Err == nil {
		t.Errorf("the last step is %+v", last)
	}
}

func TestAProbeFindsThatThePeerSpeaksAnotherProtocol(t *testing.T) {
	a, b := pair(t)
	b.protocols.RemoveHandler(exchangeProtocol)
	b.protocols.AddHandler("/parley/exchange/9", nil)
	steps := a.probed(b, ErrProtocol, StepAllowed, StepResolve, StepConnect, StepKey, StepListed, StepAnswer)
	if steps[4].Err != nil {
		t.Errorf("a peer that keeps the connection is said not to: %v", steps[4].Err)
	}
}
