package simulate

import (
	"errors"
	"flag"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	seeds = flag.Uint64("seeds", 200, "how many seeds are run")
	first = flag.Uint64("first", 1, "the first of them")
)

// TestEverythingEndsOnceWhateverFails runs many groups. One that breaks a promise
// is cut down to what breaks it.
func TestEverythingEndsOnceWhateverFails(t *testing.T) {
	total, err := Many(t.Context(), *first, *seeds, runtime.GOMAXPROCS(0), nil)
	t.Logf("%v", &total)
	var broken *Failure
	if errors.As(err, &broken) {
		t.Errorf("%v\n%s", err, Explain(t.Context(), Shaped(broken.Seed)))
	} else if err != nil {
		t.Error(err)
	}
}

func TestOneSeedIsOneRun(t *testing.T) {
	for _, s := range []uint64{7, 13, 17} {
		first, err := Run(t.Context(), Shaped(s))
		if err != nil {
			t.Fatal(err)
		}
		traced := Shaped(s)
		traced.Trace = true
		if second, _ := Run(t.Context(), traced); second.Hash != first.Hash || second.Transcript == "" {
			t.Fatalf("seed %d ran as %x and as %x", s, first.Hash, second.Hash)
		}
	}
}

// TestEveryFaultStrikes sees that no fault has been forgotten on the way.
func TestEveryFaultStrikes(t *testing.T) {
	total, err := Many(t.Context(), 1, 40, runtime.GOMAXPROCS(0), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		if total.Struck[k] == 0 {
			t.Errorf("in 40 runs there were no %v", k)
		}
	}
}

// TestAFailingRunIsCutDown gives a run less time than it needs: some answers come
// late. What is left of it takes every request and fault that it has.
func TestAFailingRunIsCutDown(t *testing.T) {
	hasty := Config{Trace: true, Nodes: 2, Lanes: 1, Requests: 10, Faults: Faults{Late: 1, Delay: 0.3}, Bound: time.Millisecond}
	var whole Result
	for ; ; hasty.Seed++ {
		r, err := Run(t.Context(), hasty)
		if failure(err) != nil {
			whole = r
			break
		}
	}
	small, why := Shrink(t.Context(), hasty)
	if why == nil || why.Promise != AllEnds || len(small.Only) == 0 || len(small.Only) >= len(whole.Choices) {
		t.Fatalf("%d choices of %d are left: %v", len(small.Only), len(whole.Choices), why)
	}
	if again, err := Run(t.Context(), small); failure(err) == nil || !strings.Contains(again.Transcript, "BROKEN") {
		t.Fatalf("the smaller run doesn't fail: %v", err)
	}
	for i, c := range small.Only {
		less := small
		less.Only = slices.Concat(small.Only[:i], small.Only[i+1:])
		if _, err := Run(t.Context(), less); failure(err) != nil {
			t.Errorf("it fails without %v too", c)
		}
	}
}

func TestAThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	c := Shaped(1)
	c.Nodes, c.Acquaintances, c.Requests = 1000, 8, 6
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var total Total
	total.Add(r)
	t.Logf("%v", &total)
}
