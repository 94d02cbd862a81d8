package fsm

import (
	"flag"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var (
	exploreMode    = flag.String("explore", "", "how far TestExplore goes: ci, or long for what is run by hand; empty: a little")
	exploreWorkers = flag.Int("explore-workers", 0, "how many search in parallel; 0: one, in other modes than the default one for each processor")
)

// TestExploreEveryState goes through every state of two nodes within the bounds
// of its plans. It prints how many there are, and fails with the shortest way to
// one in which a promise is broken, or from which not everything ends.
func TestExploreEveryState(t *testing.T) {
	plans, thorough, calm, workers := quickPlans, 8, 2, 1
	switch *exploreMode {
	case "":
	case "ci":
		plans, thorough, calm, workers = ciPlans, 64, 16, runtime.GOMAXPROCS(0)
	case "long":
		plans, thorough, calm, workers = longPlans, 64, 16, runtime.GOMAXPROCS(0)
	default:
		t.Fatalf("-explore=%s: there is ci, and long", *exploreMode)
	}
	if *exploreWorkers > 0 {
		workers = *exploreWorkers
	}
	met := map[string]int{}
	states, transitions, crashes := 0, 0, 0
	for _, p := range plans {
		t.Run(p.name, func(t *testing.T) {
			f := explore(t, p, workers, thorough, calm)
			t.Logf("two nodes, %s; %s", p.about(), p.bounds())
			t.Logf("%d states, %d transitions, %d of them crashes; depth %d, widest frontier %d, %d MiB; %d journals compared, %d followed to the end of everything, in %d moves at most; %.1f s",
				f.states, f.transitions, f.crashes, f.depth, f.widest, memory(), f.states/thorough, f.followed, f.longest, f.took.Seconds())
			if f.cut {
				t.Logf("cut off: there are more states than %d", p.most)
			}
			states, transitions, crashes = states+f.states, transitions+f.transitions, crashes+f.crashes
			for cell, n := range f.met {
				met[cell] += n
			}
		})
	}
	t.Logf("in all: %d states, %d transitions, %d of them crashes", states, transitions, crashes)
	report(t, met)
}

// report prints which inputs were met in which states, for each role.
func report(t *testing.T, met map[string]int) {
	rows := map[string][]string{}
	for cell := range met {
		at, input, _ := strings.Cut(cell, ": ")
		rows[at] = append(rows[at], input)
	}
	for _, at := range slices.Sorted(maps.Keys(rows)) {
		slices.Sort(rows[at])
		t.Logf("met %s: %s", at, strings.Join(rows[at], ", "))
	}
	t.Logf("%d cells of a state and an input were met", len(met))
}
