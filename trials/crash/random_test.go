package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// unending is more jobs than a test gets through: it ends them by the file enough.
const unending = 1 << 20

// Either process is killed at any moment, and started again on its directory: one
// time in four before it has recovered. Every other pair has a journal of small
// tables, so that there is more going on in it.
func TestProcessesKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const pairs = 4
	small, err := withFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	for i := range pairs {
		t.Run(fmt.Sprint("pair ", i), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(*seed, uint64(i)))
			p := newPair(t, []string{os.Args[0], small}[i%2], unending)
			p.start()
			for p.killed < (*kills+i)/pairs {
				p.killAtRandom(random)
			}
			p.windUp()
		})
	}
}

// killAtRandom kills one of the two and starts it again.
func (p *pair) killAtRandom(random *rand.Rand) {
	p.t.Helper()
	victim := p.asker
	if random.IntN(2) == 0 {
		victim = p.answerer
	}
	if random.IntN(4) > 0 {
		if came, _ := p.await(1+random.IntN(6), victim); !came {
			victim.bury()
			p.t.Fatalf("the %s was killed by someone else", victim.part)
		}
	}
	moment := time.NewTimer(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
	for waiting := true; waiting; {
		select {
		case <-p.lines:
		case <-moment.C:
			waiting = false
		}
	}
	p.kill(victim)
	victim.start()
}
