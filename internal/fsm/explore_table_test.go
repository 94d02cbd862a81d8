package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// crashPoints is how many there are in the turn of a transition: before its write
// and after it, and both with and without what was written and not synced.
const crashPoints = 4

// TestExploreTablesWithCrashes crosses every transition of the tables with a crash
// before and after its write. The node is recovered: it agrees with its journal,
// has said nothing before that isn't in it, and together with an honest peer
// comes to the end of everything.
func TestExploreTablesWithCrashes(t *testing.T) {
	ends := map[string]bool{}
	for _, tb := range tables() {
		t.Run(tb.name, func(t *testing.T) {
			var c crossing
			for _, from := range tb.states {
				for _, in := range tb.inputs {
					c.cell(t, tb, from, in, ends)
				}
			}
			cells := len(tb.states) * len(tb.inputs)
			t.Logf("%d states × %d inputs = %d cells: %d transitions, %d cannot meet (%s), none left out",
				len(tb.states), len(tb.inputs), cells, c.transitions, c.unmet, c.whyNot())
			t.Logf("%d transitions × %d crash points = %d recoveries, each carried to its end; %d of the recovered machines differ",
				c.transitions, crashPoints, c.recovered, c.different)
			if c.transitions+c.unmet != cells || c.recovered != c.transitions*crashPoints {
				t.Error("cells were left out")
			}
		})
	}
}

// crossing counts.
type crossing struct {
	transitions, unmet, recovered, different int
	reasons                                  map[string]int
}

func (c *crossing) whyNot() string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(c.reasons)) {
		parts = append(parts, fmt.Sprintf("%d: %s", c.reasons[why], why))
	}
	return strings.Join(parts, "; ")
}

// cell tries one state and input with all crash points.
func (c *crossing) cell(t *testing.T, tb *table, from state, in event, ends map[string]bool) {
	t.Helper()
	n := newNode(t)
	s := from.drive(n)
	s.node = n
	n.told()
	n.turn()
	synced, written := journalOf(n.durable), journalOf(n.written)
	before, then := n.m.view(), n.now
	if !in.apply(s) {
		why := cannotMeet(tb, s, in.name)
		if why == "" {
			t.Fatalf("%s, %s: the input can't come, and nobody knows why", from.name, in.name)
		}
		if c.reasons == nil {
			c.reasons = map[string]int{}
		}
		c.reasons[why]++
		c.unmet++
		return
	}
	c.saidOnlyWhatIsDurable(t, s, from, in)
	what := fmt.Sprintf("%s: %s, %s, crash ", tb.name, from.name, in.name)
	c.recover(t, n, synced, nil, then, what+"before its write", ends)
	c.recover(t, n, written, before, then, what+"before its write, all of before on disk", ends)
	c.recover(t, n, journalOf(n.durable), nil, n.now, what+"after its write, what wasn't synced lost", ends)
	c.recover(t, n, journalOf(n.written), n.m.view(), n.now, what+"after its write, before its actions", ends)
	c.transitions++
}

// saidOnlyWhatIsDurable looks at the frames of the turn.
func (c *crossing) saidOnlyWhatIsDurable(t *testing.T, s *scene, from state, in event) {
	t.Helper()
	disk := restored(t, s.m.config, s.durable, s.now)
	for _, a := range s.next.Actions {
		if send, ok := a.(Send); ok {
			if what := undurable(disk, s.m, alice, &send.Frame); what != "" {
				t.Fatalf("%s, %s: %s is sent, and isn't durable: %s", from.name, in.name, frameName(send.Frame), what)
			}
		}
	}
}

// recover begins a new process with what is left of the journal.
func (c *crossing) recover(t *testing.T, n *node, left journal, live []string, now time.Time, what string, ends map[string]bool) {
	t.Helper()
	c.recovered++
	m, _, err := left.restored(n.m.config, now)
	if err != nil {
		t.Fatalf("%s: a record can't be read: %v", what, err)
	}
	if live != nil {
		if diff := cmp.Diff(live, m.view()); diff != "" {
			t.Fatalf("%s: restored otherwise (-before +after):\n%s", what, diff)
		}
	}
	cl, f := newCloner(), newFormer()
	for _, hers := range []time.Time{time.UnixMilli(theirEpoch), now.Add(second)} {
		d := besideHonestPeer(cl.machine(m), left, now, hers)
		form := string(d.form(f))
		if ends[form] {
			continue
		}
		ends[form] = true
		c.different++
		if broken := d.sides[0].m.broken(); broken != "" {
			t.Fatalf("%s: recovered, it contradicts itself: %s", what, broken)
		}
		if d.calm(cl, f, func([]byte) bool { return false }); d.failure != "" {
			t.Fatalf("%s: %s\n%s", what, d.failure, toldOf(cl.machine(m), left, now, hers))
		}
	}
}

// toldOf tells how a recovery went on.
func toldOf(m *Machine, left journal, now, hers time.Time) string {
	var told []string
	d := besideHonestPeer(m, left, now, hers)
	d.trace = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	d.calm(newCloner(), newFormer(), func([]byte) bool { return false })
	return strings.Join(told[:min(len(told), 200)], "\n")
}

// besideHonestPeer is a recovered node and alice, who is honest and made the first
// requests that the tables have of her. With her clock as it was she has the epoch
// of the tables; where the journal holds what only a liar can have said she is
// blamed in it, and that is all. With a later clock she has a new journal, and
// everything must end.
func besideHonestPeer(m *Machine, left journal, now, hers time.Time) *duo {
	d := &duo{plan: &plan{loose: true, stubborn: hers.After(now)}, names: [2]Peer{us, alice}, number: 1 << 20}
	config := exploreConfig(1)
	config.Self = alice
	d.sides = [2]*half{{m: m, now: now, durable: left}, {m: New(config), now: hers}}
	d.own = [2]bool{true, true}
	d.turn(0)
	d.turn(0, Listed{Peer: alice})
	d.turn(1, Listed{Peer: us})
	for number, lane := range []string{1: "lane", 2: "lane", 3: "third"} {
		if number > 0 {
			body := fmt.Sprintf("request %d", number)
			d.number++
			d.turn(1, Enqueue{Requests: []Outgoing{{Peer: us, Tag: tag(number), Lane: lane, Dialable: true,
				Payload: Payload{Hash: hashOf(body), Size: int64(len(body)), Number: d.number, Inline: []byte(body)}}}})
		}
	}
	d.settle()
	d.own = [2]bool{}
	return d
}

func journalOf(records map[string][]byte) journal {
	var j journal
	for _, k := range slices.Sorted(maps.Keys(records)) {
		j = append(j, Record{[]byte(k), records[k]})
	}
	return j
}

// cannotMeet is why an input can't come in a scene; empty if it could.
func cannotMeet(tb *table, s *scene, input string) string {
	there := strings.HasSuffix(input, ", there")
	switch {
	case strings.HasSuffix(input, "has come") && s.large == nil:
		return "no large payload is being read"
	case input == "its timer is due" && !hasTimer(tb, s):
		return "it has no timer"
	case input == "the dial is due" && s.m.peer(alice).redial.place == 0:
		return "no dial is set"
	case input == "the exchange before it has ended" && (s.number == 1 || s.m.made[made(1).Tag].outcome != 0):
		return "there is no exchange before it"
	case s.conn == 0:
		return "there is no connection"
	case !there && s.bound == 0:
		return "it has no stream"
	case !there && s.large != nil:
		return "a large payload is being read on its stream"
	}
	return ""
}

// hasTimer reports whether the subject of a table has a timer set.
func hasTimer(tb *table, s *scene) bool {
	x, y, c := s.m.made[made(s.number).Tag], s.m.got[asked(1)], s.m.conns[s.conn]
	switch tb.name {
	case "dialer":
		return x != nil && x.timer.place != 0
	case "responder":
		return y != nil && y.timer.place != 0
	}
	return c != nil && c.timer.place != 0
}
