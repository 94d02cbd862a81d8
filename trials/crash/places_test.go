package crash

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/parley-p2p/parley/trials/failpoints"
)

// enoughLines is how many lines a process says that has been at every place which
// it passes as often as it was asked for: it is killed then.
const enoughLines = 50

// visits are the places at which a process has died, by side.
type visits struct {
	mu sync.Mutex
	at map[string]int // by place
}

func (v *visits) add(place string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at[place]++
	reached.Add(1)
}

// A process kills itself at every place that has a name, and is started again. Each
// place is reached, on one side at least: a list that says more than is tried would
// be worth nothing.
func TestProcessesThatDieAtNamedPlaces(t *testing.T) {
	t.Parallel()
	program, err := withFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	passes := []int{1}
	if *thorough {
		passes = []int{1, 2, 5, 0}
	}
	v := &visits{at: map[string]int{}}
	t.Run("side", func(t *testing.T) {
		for _, side := range []string{"asker", "answerer"} {
			for _, pass := range passes {
				t.Run(fmt.Sprintf("%s, pass %d", side, pass), func(t *testing.T) {
					t.Parallel()
					dieEverywhere(t, program, side, pass, v)
				})
			}
		}
	})
	for _, place := range failpoints.Names() {
		if v.at[place] == 0 {
			t.Errorf("no process came to %s", place)
		}
		t.Logf("%4d times %s", v.at[place], place)
	}
}

// dieEverywhere has one side die at each place in turn, at a pass of the place: the
// nth, or one drawn for each when that is 0.
func dieEverywhere(t *testing.T, program, side string, pass int, v *visits) {
	random := rand.New(rand.NewPCG(*seed, uint64(pass)))
	p := newPair(t, program, unending)
	victim := p.of(side)
	victim.peer.start()
	for _, place := range itinerary(random) {
		nth := pass
		if nth == 0 {
			nth = 1 + random.IntN(20)
		}
		victim.start(failpoints.Env(place, nth))
		if came, _ := p.await(enoughLines, victim); !came {
			v.add(place)
		}
		p.kill(victim)
	}
	victim.start()
	p.windUp()
}

// itinerary is all places. Those at which a directory is made come first, while
// there is none; what is left over by a death is needed by the one after it.
func itinerary(random *rand.Rand) []string {
	first := []string{"records-unnamed", "records-named"}
	leaves, sweeps := "file-finished", "sweep-uncommitted"
	var places []string
	for _, place := range failpoints.Names() {
		if !slices.Contains(first, place) && place != sweeps {
			places = append(places, place)
		}
	}
	random.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	places = slices.Insert(places, slices.Index(places, leaves)+1, sweeps)
	return append(first, places...)
}
