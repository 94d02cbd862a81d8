package simulate

import (
	"fmt"
	"strings"
	"time"
)

// Total adds up what runs came to.
type Total struct {
	Runs, Exchanges, Answered, Rejected, GivenUp, Waiting, Gone int
	Faults, Frames, FramesCut, Overtaken, Turns, Syncs          int
	Struck                                                      [kinds]int
	Settled                                                     time.Duration // the longest
}

// Add adds a run.
func (t *Total) Add(r Result) {
	t.Runs++
	t.Exchanges += r.Exchanges
	t.Answered += r.Answered
	t.Rejected += r.Rejected
	t.GivenUp += r.GivenUp
	t.Waiting += r.Waiting
	t.Gone += r.Gone
	t.Faults += r.Faults
	t.Frames += r.Frames
	t.FramesCut += r.FramesCut
	t.Overtaken += r.Overtaken
	t.Turns += r.Turns
	t.Syncs += r.Syncs
	for k, n := range r.Struck {
		t.Struck[k] += n
	}
	t.Settled = max(t.Settled, r.Settled)
}

// String is a report of some lines.
func (t *Total) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs: %d exchanges, %d answered, %d rejected, %d given up, %d waiting for an application that never answers, %d gone with a journal\n",
		t.Runs, t.Exchanges, t.Answered, t.Rejected, t.GivenUp, t.Waiting, t.Gone)
	fmt.Fprintf(&b, "%d turns, %d syncs, %d frames, %d of them lost, %d overtaken; all settled at most %v after the last fault\n",
		t.Turns, t.Syncs, t.Frames, t.FramesCut, t.Overtaken, t.Settled)
	fmt.Fprintf(&b, "%d faults struck something in flight:", t.Faults)
	for _, k := range Kinds() {
		if t.Struck[k] > 0 {
			fmt.Fprintf(&b, "\n%10d %v", t.Struck[k], k)
		}
	}
	return b.String()
}
