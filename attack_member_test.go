package parley_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/internal/attack"
	"github.com/parley-p2p/parley/internal/wire"
)

// A listed peer that keeps to the protocol, barely, takes from the others nothing
// that counts: their exchanges complete. He isn't blamed for it, but told to come
// back later, and where a limit was reached the operator is told whose.
func TestMemberGoneMadIsBoundedAndNotBlamed(t *testing.T) {
	const rate = 100 // requests a second
	has := func(kind wire.Kind) func(*arena, attack.Report) bool {
		return func(_ *arena, r attack.Report) bool { return r.Received[kind] > 0 }
	}
	for name, test := range map[string]struct {
		change func(*parley.Config)
		enough func(*arena, attack.Report) bool // what must have come of the attack before it ends
		check  func(*testing.T, *arena, attack.Report)
	}{
		"request flood": {
			func(c *parley.Config) { c.ExchangesPerSecond = rate }, has(wire.Nack),
			func(t *testing.T, a *arena, r attack.Report) {
				if r.RetryAfter <= 0 {
					t.Errorf("he wasn't told to come back later: %v", r)
				}
				a.wantLimited("ExchangesPerSecond")
			}},
		"resume flood": { // room isn't reserved without an end
			func(c *parley.Config) { c.MaxStoredPerPeer = 16 << 20 }, has(wire.Nack),
			func(t *testing.T, a *arena, r attack.Report) { a.wantLimited("") }},
		"hello flood": {},
		"frame flood": {},
		"epoch jumps": {},
		"stream flood": {nil, func(a *arena, _ attack.Report) bool {
			return len(a.alerted(parley.ConnectionLimitHit, a.attacker.PeerID())) > 0
		}, func(t *testing.T, a *arena, r attack.Report) {
			if e := a.untilAlerted(parley.ConnectionLimitHit, a.attacker.PeerID()); !strings.Contains(e.Err.Error(), "MaxStreams") {
				t.Errorf("the limit isn't named: %v", e.Err)
			}
		}},
		"replays":            {enough: has(wire.Reject)}, // what is replayed is refused
		"reused tags":        {},
		"cancel every other": {},
		"ack without reply":  {},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArena(t, test.change)
			by := a.against()
			report := a.attacked(named(t, name).Run, by, func(<-chan struct{}) {
				a.exchange(60)
				a.node.until("something has come of it", func() bool {
					a.exchange(1)
					return test.enough == nil || test.enough(a, by.Report())
				})
			})
			if report.Sent+report.Streams == 0 {
				t.Errorf("nothing was tried: %v", report)
			}
			if test.check != nil {
				test.check(t, a, report)
			}
			for _, kind := range []parley.Kind{parley.ProtocolViolation, parley.StrangerRefused} {
				if blamed := a.alerted(kind, a.attacker.PeerID()); len(blamed) > 0 {
					t.Errorf("he is blamed: %v: %v", kind, blamed[0].Err)
				}
			}
			a.wantPeace()
		})
	}
}

func named(t testing.TB, name string) attack.Attack {
	t.Helper()
	for _, a := range attack.Attacks {
		if a.Name == name {
			return a
		}
	}
	t.Fatalf("there is no attack %q", name)
	return attack.Attack{}
}

// wantLimited wants the operator told of the attacker's limit.
func (a *arena) wantLimited(limit string) {
	a.t.Helper()
	if e := a.untilAlerted(parley.PeerLimited, a.attacker.PeerID()); !strings.Contains(e.Err.Error(), limit) {
		a.t.Errorf("the limit isn't named: %v", e.Err)
	}
}

// A peer that asks much and reads nothing, not even from its socket, is a lost
// connection like any other: what was to be sent to it isn't kept in memory.
func TestPeerThatNeverReadsIsHungUpOn(t *testing.T) {
	a := newArena(t, func(c *parley.Config) { c.FrameTimeout, c.KeepAlive = time.Second, 500*time.Millisecond })
	a.kept = 4096 * 32 << 10 // MaxOpenPerPeer of his requests, which the journal holds in memory at first
	by := a.against()
	a.attacked(attack.NeverReads, by, func(<-chan struct{}) {
		a.node.until("the node hangs up", func() bool {
			a.exchange(1)
			return by.Report().Lost > 0
		})
	})
	if blamed := a.alerted(parley.ProtocolViolation, a.attacker.PeerID()); len(blamed) > 0 {
		t.Errorf("he is blamed: %v", blamed[0].Err)
	}
	a.wantPeace()
}

// A reply to what was never asked says that the node's journal was set back, or
// that the peer lies: the node stops asking that peer, and nobody else.
func TestReplyUnaskedHaltsItsPeerAlone(t *testing.T) {
	a := newArena(t, nil)
	by := a.against()
	by.Times = 10
	a.amid(attack.ReplyUnasked, by, 50)
	for _, p := range a.node.Peers() {
		if p.Peer == a.honest.PeerID() && p.Halt != nil {
			t.Errorf("the honest peer is halted: %v", p.Halt)
		}
	}
	id := a.node.send(parley.Message{Peer: a.honest.PeerID(), Address: a.honest.address, Body: []byte("do you hear me?")})
	if e := a.honest.wantBody(parley.RequestReceived, "do you hear me?"); e.ID != id {
		t.Errorf("the honest peer was asked as %v", e.ID)
	}
	a.honest.reply(id, "yes")
	a.node.untilNothingOpen()
	a.wantPeace()
}

// What a peer is asked it may answer badly, or somebody else in its stead. The
// request stays open, or fails with a reason; the node asks others meanwhile.
func TestBadAnswersHarmTheirOwnExchangeAlone(t *testing.T) {
	for name, test := range map[string]struct {
		wrongKey bool
		check    func(*testing.T, *arena, parley.ID, attack.Report)
	}{
		"ack without reply": {false, func(t *testing.T, a *arena, id parley.ID, r attack.Report) {
			a.node.untilStored(id)
			a.wantOpen(id)
		}},
		"nack for ever": {false, func(t *testing.T, a *arena, id parley.ID, r attack.Report) {
			if r.Received[wire.Request] > 100 {
				t.Errorf("he is asked again and again: %v", r)
			}
			a.wantOpen(id)
		}},
		"huge replies": {false, func(t *testing.T, a *arena, id parley.ID, r attack.Report) {
			var rejected *parley.RejectedError
			a.node.until("the exchange failed", func() bool { return a.failed(id) != nil })
			if err := a.failed(id); !errors.As(err, &rejected) || rejected.Reason == "" {
				t.Errorf("a reply that is too large ends as %v", err)
			}
		}},
		"silent listener": {false, func(t *testing.T, a *arena, id parley.ID, r attack.Report) {
			a.wantOpen(id)
		}},
		"wrong key": {true, func(t *testing.T, a *arena, id parley.ID, r attack.Report) {
			a.untilAlerted(parley.IdentityMismatch, a.attacker.PeerID())
			if r.Secured != 0 || r.Received[wire.Hello]+r.Received[wire.Request] != 0 {
				t.Errorf("another was sent what was for the peer: %v", r)
			}
			a.wantOpen(id)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArena(t, func(c *parley.Config) { c.DialTimeout = time.Second })
			by := a.against()
			var err error
			if by.Listener, err = attack.Listen("127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			if test.wrongKey {
				by.Key = newKey(t)
			}
			var ids []parley.ID
			for _, lane := range []string{"one", "two", "three"} {
				ids = append(ids, a.node.send(parley.Message{
					Peer: a.attacker.PeerID(), Address: by.Listener.Addr().String(), Lane: lane, Body: []byte("what do you say?"),
				}))
			}
			report := a.amid(named(t, name).Run, by, 100)
			if report.Attempts == 0 {
				t.Errorf("nobody came: %v", report)
			}
			test.check(t, a, ids[0], report)
			for _, kind := range []parley.Kind{parley.ProtocolViolation, parley.StrangerRefused} {
				if blamed := a.alerted(kind, a.attacker.PeerID()); len(blamed) > 0 {
					t.Errorf("he is blamed: %v: %v", kind, blamed[0].Err)
				}
			}
			for _, id := range ids {
				if err := a.node.Cancel(id); err != nil && !errors.Is(err, parley.ErrEnded) && !errors.Is(err, parley.ErrUnknown) {
					t.Errorf("cancel: %v", err)
				}
			}
			a.wantPeace()
		})
	}
}

// wantOpen wants an exchange that is neither lost nor ended.
func (a *arena) wantOpen(id parley.ID) {
	a.t.Helper()
	if x := a.node.exchange(id); !x.Ended.IsZero() {
		a.t.Errorf("the exchange ended: %+v", x)
	}
}

// failed is how an exchange of the node failed, nil while it hasn't.
func (a *arena) failed(id parley.ID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failures[id]
}
