package crash

import (
	"fmt"
	"testing"

	"github.com/parley-p2p/parley/trials/failpoints"
)

// The sides of a commit: what follows from a turn isn't on disk yet, or it is, and
// nothing else has come of it.
var besideCommit = []string{"turn-uncommitted", "turn-committed"}

// A process dies at its first commit in its first life, at the second in the second,
// and so on, until a life outlasts the session.
func TestSessionWhoseProcessDiesAtItsNthCommitInLifeN(t *testing.T) {
	eachCommit(t, func(t *testing.T, program, side, place string) {
		jobs := 6
		if *thorough {
			jobs = 20
		}
		p := newPair(t, program, jobs)
		victim := p.of(side)
		victim.peer.start()
		for life := 1; ; life++ {
			victim.start(failpoints.Env(place, life))
			if p.awaitEnd(victim) {
				break
			}
			p.kill(victim)
			reached.Add(1)
		}
		if p.end() {
			reached.Add(1)
		}
		t.Logf("the %s died %d times", side, p.killed)
	})
}

// Every commit of a session is the one at which a process dies, each in a session of
// its own.
func TestSessionWhoseProcessDiesAtAnyOneCommit(t *testing.T) {
	if !*thorough {
		t.Skip("a hundred sessions: run with -thorough")
	}
	eachCommit(t, func(t *testing.T, program, side, place string) {
		for commit, died := 1, true; died; commit++ {
			p := newPair(t, program, 4)
			victim := p.of(side)
			victim.peer.start()
			victim.start(failpoints.Env(place, commit))
			if died = !p.awaitEnd(victim); died {
				p.kill(victim)
				reached.Add(1)
				victim.start()
				if !p.awaitEnd(victim) {
					victim.bury()
					t.Fatalf("the %s was killed by someone else", side)
				}
			}
			if p.end() {
				reached.Add(1)
				died = true
			}
			if !died {
				t.Logf("a session has %d commits at the %s", commit-1, side)
			}
		}
	})
}

func eachCommit(t *testing.T, try func(t *testing.T, program, side, place string)) {
	t.Parallel()
	program, err := withFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"asker", "answerer"} {
		for _, place := range besideCommit {
			t.Run(fmt.Sprintf("%s, %s", side, place), func(t *testing.T) {
				t.Parallel()
				try(t, program, side, place)
			})
		}
	}
}
