package simulate

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds are run")
	first = flag.Uint64("first", 1, "the first of them")
	seed  = flag.Uint64("seed", 0, "the one seed to run, with its transcript")
)

// TestEverythingEndsOnceWhateverFails runs many groups. One that breaks a promise
// is cut down to what breaks it.
func TestEverythingEndsOnceWhateverFails(t *testing.T) {
	if *seed != 0 {
		c := Shaped(*seed)
		c.Trace = true
		r, err := Run(c)
		t.Logf("%s", r.Transcript)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var mu sync.Mutex
	var total Total
	var next, failed atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for failed.Load() == 0 {
				s := next.Add(1) - 1
				if s >= int64(*seeds) {
					return
				}
				r, err := Run(Shaped(*first + uint64(s)))
				mu.Lock()
				total.Add(r)
				mu.Unlock()
				if err != nil {
					failed.Add(1)
					t.Errorf("%v\n%s", err, shrunk(Shaped(r.Seed)))
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%v", &total)
}

// shrunk is what a failing run comes down to, in words.
func shrunk(c Config) string {
	c, why := Shrink(c)
	var b strings.Builder
	fmt.Fprintf(&b, "in short (%d of its choices): %v\n", len(c.Only), why)
	for _, choice := range c.Only {
		fmt.Fprintf(&b, "%v\n", choice)
	}
	r, _ := Run(c)
	b.WriteString("the run with these alone:\n")
	b.WriteString(r.Transcript)
	return b.String()
}

func TestOneSeedIsOneRun(t *testing.T) {
	for _, s := range []uint64{7, 13, 17} {
		first, err := Run(Shaped(s))
		if err != nil {
			t.Fatal(err)
		}
		traced := Shaped(s)
		traced.Trace = true
		if second, _ := Run(traced); second.Hash != first.Hash || second.Transcript == "" {
			t.Fatalf("seed %d ran as %x and as %x", s, first.Hash, second.Hash)
		}
	}
}

func TestAThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	c := Shaped(1)
	c.Nodes, c.Acquaintances, c.Requests = 1000, 8, 6
	began := time.Now()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	var total Total
	total.Add(r)
	t.Logf("%v, in %v", &total, time.Since(began).Round(time.Second))
}
