//go:build linux

package network

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/patch"
	"github.com/parley-p2p/parley/trials/failpoints"
)

var (
	pointsFor = flag.Duration("points-for", 0, "for how long either test of persistence points begins sessions, after one for each place; 0: they are skipped")
	every     = flag.Bool("every", false, "let every member die at every persistence point, however long that takes")
)

// chain is one place, and the times that a member passes it, from the first to the
// last there is.
type chain struct {
	strike
	turn bool // each time it is the next member that dies
	size int  // of the session's messages
	end  int  // the first time to which no member came; 0: not known
}

// plan is which strikes are to come. Sessions are at work on several at once.
type plan struct {
	began time.Time

	mu     sync.Mutex
	chains []*chain
	struck map[string]int // sessions in which a member died, by place
	ended  int            // sessions
}

// add plans to strike at places: in a first run, and in one after a crash. Unless
// each member is to die everywhere, they do in turn.
func (p *plan) add(places []string, size int) {
	for n, place := range places {
		for _, again := range []bool{false, true} {
			at := strike{member: n % members, place: place, nth: 1, again: again}
			if !*every {
				p.chains = append(p.chains, &chain{strike: at, turn: true, size: size})
				continue
			}
			for at.member = range members {
				p.chains = append(p.chains, &chain{strike: at, size: size})
			}
		}
	}
}

// next is a strike that wasn't yet: first at the first time of every place, then at
// each time that something is stored, and then at all others, the earliest first.
// Time bounds all but the first times.
func (p *plan) next() (c *chain, at strike, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, candidate := range p.chains {
		if candidate.end == 0 && (c == nil || candidate.before(c)) {
			c = candidate
		}
	}
	if c == nil || c.nth > 1 && !*every && time.Since(p.began) > *pointsFor {
		return nil, at, false
	}
	at = c.strike
	c.nth++
	if c.turn {
		c.member = (c.member + 1) % members
	}
	return c, at, true
}

func (c *chain) before(other *chain) bool {
	if c.late() != other.late() {
		return other.late()
	}
	return c.nth < other.nth
}

func (c *chain) late() bool { return c.nth > 1 && (c.again || !c.stores()) }

// stores reports whether it is where something is stored: in the handler's log, or
// in the member's own state.
func (c *chain) stores() bool {
	return strings.HasPrefix(c.place, "log-") || strings.HasPrefix(c.place, "state-")
}

// over notes how a session ended.
func (p *plan) over(c *chain, at strike, died bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	if died {
		p.struck[at.place]++
	} else if c.end == 0 || at.nth < c.end {
		c.end = at.nth
	}
}

// carryOut lets sessions sign, so many at once, each with a strike of its own.
func (p *plan) carryOut(t *testing.T, workers int, at func(t testing.TB) site) {
	binary, err := withFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	p.began = time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				c, strike, ok := p.next()
				if !ok {
					return
				}
				t.Run(strike.String(), func(t *testing.T) {
					p.over(c, strike, newSession(t, binary, at(t), c.size).run(strike))
				})
			}
		})
	}
	all.Wait()
	p.report(t)
}

func (p *plan) report(t *testing.T) {
	t.Helper()
	struck, through := 0, 0
	var never []string
	for _, c := range p.chains {
		if c.end > 0 {
			through++
		}
		if c.stores() && !c.again {
			t.Logf("%s: a member was killed there in %d sessions, and did not come there for the %d. time (0: that isn't reached)", c.place, p.struck[c.place], c.end)
		}
		if p.struck[c.place] == 0 && !slices.Contains(never, c.place) {
			never = append(never, c.place)
		}
	}
	for _, n := range p.struck {
		struck += n
	}
	t.Logf("%d sessions of %d members in %.0f s; in %d a member was killed, each at another point; %d of %d places were gone through to their last time; never passed: %s",
		p.ended, members, time.Since(p.began).Seconds(), struck, through, len(p.chains), strings.Join(never, " "))
}

// withFailpoints is this test binary with them, built once.
var withFailpoints = sync.OnceValues(func() (string, error) {
	states, err := patch.Read("state.patch")
	if err != nil {
		return "", err
	}
	return failpoints.BuildTest(forBinary, "./trials/network", states)
})

// places are all of the handler and of the member's state that are passed in a
// session: of short messages, and only of those that are kept in a file each.
func places() (short, long []string) {
	for _, name := range failpoints.Names() {
		switch kind, _, _ := strings.Cut(name, "-"); kind {
		case "file", "arrived", "staged", "numbers", "sweep":
			long = append(long, name)
		default:
			short = append(short, name)
		}
	}
	return append(short, "state-unwritten", "state-torn", "state-unsynced", "state-stored"), long
}

// fileSize is that of messages that are kept in a file each.
const fileSize = 1<<20 + 1

func needPoints(t *testing.T) {
	t.Helper()
	if *pointsFor == 0 && !*every {
		t.Skip("takes minutes: see -points-for and -every")
	}
}

// A member dies wherever there is something to be stored, and is started again. The
// committee signs all the same, and what the members stored agrees.
func TestPersistencePointsOnACleanLine(t *testing.T) {
	needPoints(t)
	short, long := places()
	p := &plan{struck: map[string]int{}}
	p.add(short, 0)
	p.add(long, fileSize)
	p.carryOut(t, 2, loopback)
}

func TestPersistencePointsOnABadLine(t *testing.T) {
	needPoints(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	t.Parallel()
	short, _ := places()
	p := &plan{struck: map[string]int{}}
	p.add(short, 0)
	all := &figures{}
	var sites atomic.Uint64
	p.carryOut(t, 20, func(t testing.TB) site { return badLine(t, *seed+sites.Add(1), all) })
	t.Log(all)
}

// badLine is a host for each member, and between them the cable at its worst.
func badLine(t testing.TB, seed uint64, all *figures) site {
	t.Helper()
	at := site{bad: true}
	c := newCable(seed)
	c.figures = all
	c.become(bad)
	for n := range members {
		h := newHost(t, c, fmt.Sprint("10.78.0.", n+1))
		at.places, at.addresses = append(at.places, h.within), append(at.addresses, fmt.Sprintf("%v:%d", h.address, port4001))
	}
	return at
}
