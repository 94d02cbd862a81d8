package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAnyPair has two nodes of this program ask each other over a network that
// delays, reorders and breaks, with crashes on both sides, as the input has it.
// Neither ever blames the other, nothing is said that isn't durable, and once the
// faults are over everything that was accepted ends, is told and stays told.
//
// Every other story has a third at the table: a peer on the allow list of the
// first node, who sends it whatever frames the input has. It can be blamed, and
// nobody else; and what the two others have with each other ends.
func TestAnyPair(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+uint64(*stories/2); seed++ {
		story := slices.Collect(slices.Chunk(randomBytes(seed, 200*pairStep), pairStep))
		play := func(t testing.TB, story [][]byte) string { return playPair(t, story, seed%2 == 0) }
		if play(t, story) == "" {
			continue
		}
		story = shortest(t, story, play)
		t.Fatalf("story %d, in short (%d steps):\n%s\n%#v", seed, len(story), play(t, story), slices.Concat(story...))
	}
}

// FuzzPairOfMachines is the same, its steps found by coverage: short stories, which
// say more in the same time.
func FuzzPairOfMachines(f *testing.F) { fuzzPair(f, false) }

// FuzzHostilePeer is the same with the third at the table.
func FuzzHostilePeer(f *testing.F) { fuzzPair(f, true) }

func fuzzPair(f *testing.F, withMallory bool) {
	const most = 40 // steps
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, most*pairStep))
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		steps := slices.Collect(slices.Chunk(story[:min(len(story), most*pairStep)], pairStep))
		if failure := playPair(t, steps, withMallory); failure != "" {
			t.Fatal(failure)
		}
	})
}

// playPair tells how a story fails; "" when it doesn't.
func playPair(t testing.TB, story [][]byte, withMallory bool) string {
	return try(t, func(trial testing.TB) { newPair(trial, withMallory).run(story) })
}

func randomBytes(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]byte, n)
	for i := range all {
		all[i] = byte(random.Uint32())
	}
	return all
}

// pairStep is how many bytes choose what one step is.
const pairStep = 6

// pair is two nodes and what is between them.
type pair struct {
	t       testing.TB
	sides   [2]*side
	mallory *hostile // nil: there are only two
	now     time.Time
	bytes   []byte
	conns   Conn
	tags    int
	history []happening
}

// happening is a line of a story's transcript, written out only where it fails.
type happening struct {
	at   time.Time
	who  Peer
	text string
	what any
}

func newPair(t testing.TB, withMallory bool) *pair {
	p := &pair{t: t, now: morning}
	for i, id := range []Peer{alice, bob} {
		p.sides[i] = newSide(p, id)
	}
	p.sides[0].other, p.sides[1].other = p.sides[1], p.sides[0]
	for _, s := range p.sides {
		s.take(Listed{Peer: s.other.id})
	}
	if withMallory {
		p.mallory = newHostile(p.sides[0])
		p.sides[0].take(Listed{Peer: mallory})
	}
	return p
}

// choose takes the next of the step's bytes: a number below n.
func (p *pair) choose(n int) int {
	if len(p.bytes) == 0 || n <= 1 {
		return 0
	}
	b := int(p.bytes[0])
	p.bytes = p.bytes[1:]
	return b % n
}

func (p *pair) note(who Peer, text string, what any) {
	p.history = append(p.history, happening{p.now, who, text, what})
}

func (h happening) String() string {
	switch what := h.what.(type) {
	case Input:
		return fmt.Sprintf("%s %s %s %s", h.at.Sub(morning), h.who, h.text, inputName(what))
	case Action:
		return fmt.Sprintf("%s %s %s %s", h.at.Sub(morning), h.who, h.text, actionName(what))
	case Notice:
		return fmt.Sprintf("%s %s %s %v of %s: %s", h.at.Sub(morning), h.who, h.text, what.Kind, what.Peer, what.Detail)
	case Delivery:
		return fmt.Sprintf("%s %s %s %v %x", h.at.Sub(morning), h.who, h.text, what.Kind, what.Name.Tag[12:])
	}
	return fmt.Sprintf("%s %s %s", h.at.Sub(morning), h.who, h.text)
}

func (p *pair) fail(format string, args ...any) {
	p.t.Helper()
	var transcript strings.Builder
	for _, h := range p.history[max(0, len(p.history)-150):] {
		fmt.Fprintln(&transcript, h)
	}
	p.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), &transcript)
}

// run plays a story and then lets everything come to its end.
func (p *pair) run(story [][]byte) {
	p.t.Helper()
	for _, step := range story {
		p.bytes = step
		p.act()
	}
	p.bytes = nil
	p.calm()
	p.checkEnd()
}

// act is one step.
func (p *pair) act() {
	s := p.sides[p.choose(2)]
	acts := []struct {
		weight int
		act    func()
	}{
		{22, s.request}, {22, s.apply}, {14, s.respond}, {4, s.refuse}, {6, s.cancel}, {8, s.commit},
		{84, s.receive}, {18, s.meet}, {4, s.refuseDial}, {8, s.close}, {4, s.breaks}, {5, s.streamBreaks}, {6, s.notices},
		{18, p.tick}, {6, p.pause}, {2, s.hangup}, {2, s.unlist}, {3, s.list}, {2, s.restarts}, {3, s.crashes},
	}
	at := p.choose(256)
	if p.mallory != nil && at%3 == 0 {
		p.mallory.act(p)
		return
	}
	for _, a := range acts {
		if at -= a.weight; at < 0 {
			a.act()
			return
		}
	}
	s.receive()
}

func (p *pair) tick() {
	at := p.deadline()
	if at.After(p.now) {
		p.now = at
	}
	p.ticks()
}

func (p *pair) pause() {
	p.now = p.now.Add([]time.Duration{time.Millisecond, second, 12 * second, 70 * second}[p.choose(4)])
	p.ticks()
}

func (p *pair) ticks() {
	for _, s := range p.sides {
		s.take(Tick{})
	}
}

// deadline is when the next of the two wants to be asked; zero: never.
func (p *pair) deadline() time.Time {
	return earliest(p.sides[0].wakes, p.sides[1].wakes)
}

// calm ends all faults: everything that is sent arrives, the applications take
// and answer what there is. It lasts until nothing is open.
func (p *pair) calm() {
	p.note("", "faults are over", nil)
	for _, s := range p.sides {
		s.take(Listed{Peer: s.other.id})
	}
	end := p.now.Add(2 * time.Hour)
	for {
		for p.goesOn() {
		}
		if p.over() {
			return
		}
		at := p.deadline()
		if at.IsZero() || at.After(end) {
			p.fail("not everything ends: %s", p.open())
		}
		if at.After(p.now) {
			p.now = at
		}
		p.ticks()
	}
}

// goesOn does whatever can be done without time passing; false: nothing can.
func (p *pair) goesOn() bool {
	did := false
	for _, s := range p.sides {
		for _, e := range slices.Clone(s.ends) {
			for _, h := range slices.Clone(e.streams) {
				for len(h.inbox) > 0 && h.open && e.open {
					s.bring(h)
					did = true
				}
			}
		}
		for _, one := range []func() bool{s.meets, s.noticed, s.closed, s.applied, s.answers, s.commits} {
			for one() {
				did = true
			}
		}
	}
	return did
}

// over reports whether nothing between the two is open or untold.
func (p *pair) over() bool { return p.open() == "" }

func (p *pair) open() string {
	var all []string
	for _, s := range p.sides {
		for _, x := range s.m.Exchanges() {
			if x.Peer == s.other.id {
				all = append(all, fmt.Sprintf("at %s: %x with %s, %s%s", s.id, x.Name.Tag[12:], x.Peer, stateOr(x.Dialer), askedOr(x.Responder)))
			}
		}
	}
	return strings.Join(all, "; ")
}

func stateOr(s DialerState) string {
	if s == 0 {
		return ""
	}
	return s.String()
}

func askedOr(s ResponderState) string {
	if s == 0 {
		return ""
	}
	return s.String() + " there"
}

// checkEnd holds what was promised against what the applications have seen.
func (p *pair) checkEnd() {
	for _, s := range p.sides {
		last := map[string]int{} // of each lane, when the other application had it first
		for _, w := range s.wishes {
			if w.to != s.other.id {
				continue
			}
			if w.accepted && w.told == 0 {
				p.fail("%s made %x, which was accepted and never ended", s.id, w.tag[12:])
			}
			name := Name{s.id, w.tag}
			order, had := s.other.first[name]
			if w.told == ReplyReceived && !had {
				p.fail("%x was answered, and nobody was asked", w.tag[12:])
			}
			if had && order < last[w.lane] {
				p.fail("%x overtook another of its lane", w.tag[12:])
			} else if had {
				last[w.lane] = order
			}
		}
	}
}
