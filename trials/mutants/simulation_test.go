package mutants

import (
	"flag"
	"runtime"
	"testing"

	"github.com/parley-p2p/parley/internal/simulate"
)

var groups = flag.Uint64("groups", 0, "how many groups TestGroupsKeepEveryPromise runs")

// TestGroupsKeepEveryPromise is the simulation as a catcher: the groups that its
// own test runs, without cutting a failing one down to its cause.
func TestGroupsKeepEveryPromise(t *testing.T) {
	if *groups == 0 {
		t.Skip("internal/simulate runs them; here they are run with a mutant in them")
	}
	if _, err := simulate.Many(t.Context(), 1, *groups, runtime.GOMAXPROCS(0), nil); err != nil {
		t.Error(err)
	}
}
