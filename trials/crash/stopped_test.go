//go:build unix

package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopLength is longer than any timeout of hasty, one after the other.
const stopLength = 1500 * time.Millisecond

// A process that is stopped, by SIGSTOP as by a machine that sleeps, holds its
// connections and says nothing. When it goes on, so does all that was open; neither
// side blames the other.
func TestProcessStoppedForLongerThanEveryTimeout(t *testing.T) {
	t.Parallel()
	stops := 1
	if *thorough {
		stops = 8
	}
	for i, side := range []string{"asker", "answerer"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(*seed, uint64(i)))
			p := newPair(t, os.Args[0], unending, "PARLEY_TRIAL_HASTY=yes")
			p.start()
			victim := p.of(side)
			for range stops {
				if came, _ := p.await(1+random.IntN(8), victim); !came {
					victim.bury()
					t.Fatal("it was killed by someone else")
				}
				signal(t, victim, syscall.SIGSTOP)
				time.Sleep(stopLength) // it is this time that is tried
				signal(t, victim, syscall.SIGCONT)
			}
			p.windUp()
			t.Logf("stopped %d times for %v each; the asker counts %s", stops, stopLength, p.tally)
			// A peer that stopped while nothing was on the way to it is only found
			// dead, and dialled again.
			if strings.HasPrefix(p.tally, "0 timeouts, 0 redials") {
				t.Error("no timeout passed")
			}
		})
	}
}

func signal(t *testing.T, to *program, s syscall.Signal) {
	t.Helper()
	if err := to.command.Process.Signal(s); err != nil {
		t.Fatal(fmt.Errorf("%v for the %s: %w", s, to.part, err))
	}
}
