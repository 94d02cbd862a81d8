package fsm

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var (
	stories   = flag.Int("stories", 200, "how many random stories TestAnyStory plays")
	firstSeed = flag.Uint64("seed", 1, "of the first story of TestAnyStory")
)

const storyLength = 400 // steps

// TestAnyStory plays stories of random steps against one machine. Whatever
// happens, the machine doesn't contradict itself, says nothing that isn't
// durable, and is the same again after a restart. A story that fails is cut
// down to its shortest cause.
func TestAnyStory(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+uint64(*stories); seed++ {
		story := randomStory(seed)
		if play(t, story) == "" {
			continue
		}
		story = shortest(t, story, play)
		t.Fatalf("story %d, in short (%d steps):\n%s\n%#v", seed, len(story), play(t, story), slices.Concat(story...))
	}
}

func randomStory(seed uint64) [][]byte {
	random := rand.New(rand.NewPCG(seed, 0))
	story := make([][]byte, storyLength)
	for i := range story {
		story[i] = make([]byte, stepSize)
		for j := range story[i] {
			story[i][j] = byte(random.Uint32())
		}
	}
	return story
}

// FuzzMachine is the same, its steps found by coverage.
func FuzzMachine(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(slices.Concat(randomStory(1000 + seed)[:40]...))
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		if failure := play(t, slices.Collect(slices.Chunk(story[:min(len(story), 60*stepSize)], stepSize))); failure != "" {
			t.Fatal(failure)
		}
	})
}

// play tells how a story fails; "" when it doesn't.
func play(t testing.TB, story [][]byte) string {
	return try(t, func(trial testing.TB) { newWorld(trial).run(story) })
}

// try tells how something fails that is tried.
func try(t testing.TB, what func(testing.TB)) (failure string) {
	w := &trial{TB: t}
	defer func() {
		if broken := recover(); broken == errFailed {
			failure = w.failure
		} else if broken != nil {
			panic(broken)
		}
	}()
	what(w)
	return ""
}

// shortest leaves out of a failing story whatever it fails without.
func shortest(t testing.TB, story [][]byte, play func(testing.TB, [][]byte) string) [][]byte {
	why := reason(play(t, story))
	for size := len(story) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(story); {
			without := slices.Concat(story[:from], story[from+size:])
			if reason(play(t, without)) == why {
				story = without
			} else {
				from += size
			}
		}
	}
	return story
}

// reason is the first line of a failure, without its numbers.
func reason(failure string) string {
	line, _, _ := strings.Cut(failure, "\n")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line)
}

// trial is a test that may fail without failing the test that tries it.
type trial struct {
	testing.TB
	failure string
}

var errFailed = fmt.Errorf("the trial failed")

func (t *trial) Helper() {}
func (t *trial) Fatalf(format string, args ...any) {
	t.failure = fmt.Sprintf(format, args...)
	panic(errFailed)
}
func (t *trial) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
