package fsm

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// What keeps one peer from hurting another: blame, limits of its own, turns.

// breakRule has alice break a rule on a new connection and lose it.
func (n *node) breakRule() time.Time {
	n.t.Helper()
	c := n.connect(alice, false)
	n.step(Violated{Conn: c, Rule: "nonsense"})
	n.wantViolation("what the P2P protocol found")
	until := n.m.keptOut(alice, n.now)
	n.step(broken(c))
	return until
}

func TestAPeerIsKeptOutForLongerEachTime(t *testing.T) {
	n := newNode(t, func(c *Config) { c.KeepOutMax = 10 * second })
	n.step(Listed{Peer: alice})
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		until := n.breakRule()
		if got := until.Sub(n.now); got != want*second {
			t.Fatalf("kept out for %v, want %v", got, want*second)
		}
		n.wait(until.Sub(n.now))
	}
	n.wait(blameFor + second)
	if until := n.breakRule(); until.Sub(n.now) != second {
		t.Fatalf("after a good day: kept out for %v", until.Sub(n.now))
	}
}

func TestBlameSurvivesARestart(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	n.wait(n.breakRule().Sub(n.now))
	until := n.breakRule()
	n.restart(true)
	n.wantDone("it is kept out as before", Shun{Peer: alice, Until: until})
	n.step(Listed{Peer: alice})
	n.request(1, "")
	n.wantDone("and not dialled")
	n.now = until
	n.step(Tick{})
	n.wantDone("its time is up", Dial{Peer: alice})
	n.step(DialFailed{Peer: alice, Err: errAbsent})
	if again := n.breakRule(); again.Sub(n.now) != 4*second {
		t.Fatalf("the restart was forgiveness: kept out for %v", again.Sub(n.now))
	}
}

func TestAClockSetBackKeepsNobodyOutForever(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	n.breakRule()
	n.now = n.now.Add(-1000 * time.Hour)
	n.restart(true)
	if until := n.m.keptOut(alice, n.now); until.Sub(n.now) > n.m.config.KeepOutMax {
		t.Fatalf("kept out for %v", until.Sub(n.now))
	}
}

func TestWhatIsBrokenOnSeveralConnectionsAtOnceIsOneViolation(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	one, other := n.connect(alice, false), n.connect(alice, true)
	n.step(Violated{Conn: one, Rule: "nonsense"})
	n.now = n.now.Add(1100 * time.Millisecond) // the disk was slow
	n.step(Violated{Conn: other, Rule: "nonsense"})
	n.now = n.now.Add(-1100 * time.Millisecond)
	if until := n.m.keptOut(alice, n.now); until.Sub(n.now) != second {
		t.Fatalf("kept out for %v", until.Sub(n.now))
	}
	n.step(broken(one), broken(other))
	late := n.connect(alice, false)
	n.wantDone("one that was on its way in", Disconnect{Conn: late})
}

func TestMisfortuneIsNobodysFault(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.step(broken(c))
	for range 5 { // dials that fail, acknowledgements that don't come, silence
		n.wait(40 * second)
		n.step(DialFailed{Peer: alice, Err: errAbsent})
	}
	n.wait(40 * second)
	n.connect(alice, true)
	n.wait(5 * time.Minute)
	if len(n.m.blamed) != 0 {
		t.Fatalf("blamed: %+v", n.m.blamed[alice])
	}
}

func TestPardonLetsAPeerIn(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice})
	n.request(1, "")
	n.step(DialFailed{Peer: alice, Err: errAbsent})
	n.breakRule()
	n.step(Pardon{Call: 1, Peer: alice})
	n.wantAnswer("done", nil)
	if !slices.Contains(n.ready.Actions, Action(Shun{Peer: alice})) || !slices.ContainsFunc(n.ready.Actions, func(a Action) bool { _, dials := a.(Dial); return dials }) {
		t.Fatalf("did %v", n.ready.Actions)
	}
	n.restart(true)
	n.wantDone("for good")
	n.step(Pardon{Call: 2, Peer: bob})
	n.wantAnswer("who did nothing", nil)
}

func TestWhoeverIsRememberedForAViolationIsLimitedInNumber(t *testing.T) {
	n := newNode(t)
	n.step(Everyone{})
	for i := range maxBlamed + 10 {
		c := n.connect(Peer(fmt.Sprint(i)), false)
		n.step(Violated{Conn: c, Rule: "nonsense"})
		n.step(broken(c))
		n.now = n.now.Add(time.Millisecond)
	}
	if len(n.m.blamed) != maxBlamed || n.m.blamed["9"] != nil || n.m.blamed["10"] == nil {
		t.Fatalf("%d are remembered", len(n.m.blamed))
	}
}

func limited(c *Config) { c.ExchangesPerSecond, c.BytesPerSecond = 2, 200_000 }

func TestAPeerThatAsksTooFastIsToldWhenToComeAgain(t *testing.T) {
	n, c, s := askedNode(t, limited)
	for i := range uint64(burst * 2) {
		n.arrive(c, s, request(i+1, fmt.Sprint(i)))
		n.wantSent("a burst", fmt.Sprintf("ACK of REQUEST %d", i+1))
	}
	for i, want := range []time.Duration{n.m.config.RetryMin, 1001 * time.Millisecond, 1501 * time.Millisecond} { // each has its own moment
		n.arrive(c, n.stream(), resume(uint64(100+i), fmt.Sprint(100+i)))
		nack := n.sentFrame(wire.Nack).Frame
		if nack.Delay != wire.TooFast || nack.RetryAfter != want {
			t.Fatalf("told %v, after %v, want %v", nack.Delay, nack.RetryAfter, want)
		}
		if i == 0 {
			n.wantNotice("the first", PeerLimited)
			if got := n.ready.Notices[0].Detail; !strings.HasPrefix(got, "ExchangesPerSecond: 2") {
				t.Fatalf("told %q", got)
			}
		} else {
			n.wantNotice("of one episode")
		}
	}
	if v := n.m.Peers(n.now)[0]; !strings.HasPrefix(v.Limited, "ExchangesPerSecond") {
		t.Fatalf("shown as %+v", v)
	}
	n.arrive(c, s, request(1, "0"))
	n.wantSent("what is known isn't new", "ACK of REQUEST 1")
	n.now = n.now.Add(second)
	n.arrive(c, n.stream(), resume(100, "100"))
	n.wantSent("in time", "CONTINUE 100")
	n.now = n.now.Add(episode + second)
	for i := range uint64(burst*2 + 1) {
		n.arrive(c, n.stream(), resume(200+i, fmt.Sprint(200+i)))
	}
	n.wantNotice("another episode", PeerLimited)
}

// A dialer that does as it is told is served as fast as the limit allows.
func TestWhoeverComesAgainWhenToldHasItsFullRate(t *testing.T) {
	n := newNode(t)
	n.step(Listed{Peer: alice, Limits: Limits{ExchangesPerSecond: 10}})
	p := n.m.peer(alice)
	const count = 2000
	due := make([]time.Time, count)
	for i := range due {
		due[i] = n.now
	}
	taken, began := 0, n.now
	for ; taken < count; n.now = n.now.Add(10 * time.Millisecond) {
		for i, at := range due {
			if at.IsZero() || at.After(n.now) {
				continue
			}
			if over, wait := n.m.inTime(n.now, p, 100); over != none {
				due[i] = n.now.Add(max(wait, n.m.config.RetryMin))
			} else {
				due[i] = time.Time{}
				taken++
			}
		}
	}
	if took, least := n.now.Sub(began), (count-10*burst)*time.Second/10; took > least+10*time.Second {
		t.Fatalf("took %v, want %v", took, least)
	}
	n.now = n.now.Add(time.Hour)
	for range 10 * burst {
		n.m.inTime(n.now, p, 1)
	}
	if _, wait := n.m.inTime(n.now, p, 1); wait > second {
		t.Fatalf("long after that, told to wait for %v", wait)
	}
}

func TestATagThatHasEndedComesBackAsPossiblySeen(t *testing.T) {
	n, c, s := askedNode(t)
	n.arrive(c, s, request(1, ""))
	n.told()
	n.answer(1)
	n.arrive(c, s, ackReply(1))
	n.arrive(c, s, request(2, "").ofTag(1))
	d, ok := n.m.Deliver()
	if !ok || d.Name != asked(1) || !d.PossiblySeen {
		t.Fatalf("told %+v", d)
	}
}

func TestRefusedUnreadRequestsHaveTheLimitsOfOthers(t *testing.T) {
	n, c, _ := askedNode(t, func(c *Config) { c.MaxOpen = 2 })
	for i := range uint64(4) {
		n.arrive(c, n.stream(), largeResume(i+1, fmt.Sprint(i)).with(huge))
	}
	n.wantSent("in total", "NACK of REQUEST 4")
	n, c, _ = askedNode(t)
	n.m.SetFull(n.now, true)
	n.arrive(c, n.stream(), largeResume(1, "").with(huge))
	n.wantSent("on a full disk", "NACK of REQUEST 1")
}

func TestLimitsOfAPeersOwnAreKeptWhereEveryoneIsAdmitted(t *testing.T) {
	n := newNode(t)
	n.step(Everyone{}, Listed{Peer: alice, Limits: Limits{MaxOpen: 1}})
	n.accept(alice)
	if got := n.m.peer(alice).limits.MaxOpen; got != 1 {
		t.Fatalf("it may have %d open", got)
	}
	n.step(Unlisted{Peer: bob}, Renew{Call: 1, Peer: bob})
	if n.m.peers[bob] != nil {
		t.Fatal("a peer is known that never came")
	}
}

func TestALimitBeyondMeasureIsNone(t *testing.T) {
	n, c, s := askedNode(t, func(c *Config) { c.ExchangesPerSecond, c.BytesPerSecond = math.MaxInt, math.MaxInt64 })
	n.arrive(c, s, request(1, ""))
	n.wantSent("the first", "ACK of REQUEST 1")
}

func TestALargeRequestIsRefusedUnreadWhenItIsTooMuch(t *testing.T) {
	n, c, _ := askedNode(t, limited)
	large := func(size uint64) func(*wire.Frame) { return func(f *wire.Frame) { f.Size = size } }
	n.offer(c, n.stream(), largeRequest(1, "a").with(large(1<<20)))
	if len(n.ready.Actions) != 1 {
		t.Fatalf("did %v", n.ready.Actions)
	}
	n.offer(c, n.stream(), largeRequest(2, "b").with(large(1<<20)))
	n.offer(c, n.stream(), largeRequest(3, "c").with(large(1<<20)))
	nack := n.sentFrame(wire.Nack).Frame
	if nack.Delay != wire.TooFast || nack.RetryAfter < second || n.m.peer(alice).responder.open[3] != nil {
		t.Fatalf("told %v, after %v", nack.Delay, nack.RetryAfter)
	}
}

func TestAPeersWishToWaitForYearsIsNotHeeded(t *testing.T) {
	n, c := connectedNode(t)
	n.request(1, "")
	n.arrive(c, 2, n.nack(1).with(func(f *wire.Frame) { f.RetryAfter = 1000 * time.Hour }))
	n.wait(n.m.config.PollMax)
	if len(n.ready.Actions) == 0 {
		t.Fatal("it waits")
	}
}

func TestLimitsOfAPeersOwn(t *testing.T) {
	n := newNode(t, limited)
	n.step(Listed{Peer: alice, Limits: Limits{ExchangesPerSecond: 1, MaxOpen: 12}})
	c, s := n.accept(alice)
	for i := range uint64(burst) {
		n.arrive(c, s, request(i+1, fmt.Sprint(i)))
	}
	n.arrive(c, n.stream(), resume(50, "50"))
	n.wantSent("its own limit", "NACK of REQUEST 50")
	n.step(Listed{Peer: alice, Limits: Limits{ExchangesPerSecond: 100, MaxOpen: 12}})
	n.now = n.now.Add(second)
	n.arrive(c, n.stream(), resume(50, "50"))
	n.arrive(c, n.stream(), resume(51, "51"))
	n.arrive(c, n.stream(), resume(52, "52"))
	n.wantSent("too many open", "NACK of REQUEST 52")
	if got := n.sentFrame(wire.Nack).Frame.Delay; got != wire.NoRoom {
		t.Fatalf("told %v", got)
	}
}

func TestACancelOfWhatWasNeverAskedCostsAsMuchAsARequest(t *testing.T) {
	n, c, s := askedNode(t, limited)
	for i := range uint64(burst * 2) {
		n.arrive(c, s, cancel(2*i+2))
	}
	n.arrive(c, s, cancel(90))
	n.wantSent("it would be written down", "NACK of CANCEL 90")
	n.arrive(c, s, cancel(2))
	n.wantSent("it is known", "ACK of CANCEL 2")
	if n.ready.Batch.Sync {
		t.Fatal("and on disk already")
	}
}

func TestPeersTakeTurnsAtTheApplication(t *testing.T) {
	n, c, s := askedNode(t)
	for i := range uint64(5) {
		n.arrive(c, s, request(i+1, fmt.Sprint("a", i)))
	}
	n.step(Listed{Peer: bob})
	b, s := n.accept(bob)
	for i := range uint64(2) {
		n.arrive(b, s, request(i+1, fmt.Sprint("b", i)))
	}
	var got []Peer
	for d, ok := n.m.Deliver(); ok; d, ok = n.m.Deliver() {
		got = append(got, d.Peer)
	}
	if want := []Peer{alice, bob, alice, bob, alice, alice, alice}; !slices.Equal(got, want) {
		t.Fatalf("given in the order %v", got)
	}
}

// Found by review: two frames of a listed peer made a journal that was refused at the
// next start.
func TestAPeerThatEndsEveryNumberThereIsHarmsNobody(t *testing.T) {
	n, c := connectedNode(t)
	n.arrive(c, 3, hello(theirEpoch, lastSequence))
	n.arrive(c, 3, cancel(lastSequence))
	n.restart(false)
	if !n.m.HasEnded(alice, theirEpoch, lastSequence) {
		t.Fatal("its last number isn't over")
	}
}
