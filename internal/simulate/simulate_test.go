package simulate

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds are run")
	seed  = flag.Uint64("seed", 0, "the one seed to run, with its transcript")
)

func config(seed uint64) Config {
	return Config{Seed: seed, Nodes: 2 + int(seed%3), Lanes: 1 + int(seed%4), Requests: 20, Faults: Rough()}
}

func TestEverythingEndsOnceWhateverFails(t *testing.T) {
	if *seed != 0 {
		c := config(*seed)
		c.Trace = true
		r, err := Run(c)
		t.Logf("%s", r.Transcript)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var total Result
	for s := range uint64(*seeds) {
		r, err := Run(config(s + 1))
		if err != nil {
			t.Errorf("%v", err)
		}
		total.Exchanges += r.Exchanges
		total.Answered += r.Answered
		total.Crashes += r.Crashes
		total.Frames += r.Frames
	}
	t.Logf("%d exchanges, %d answered, %d crashes, %d frames", total.Exchanges, total.Answered, total.Crashes, total.Frames)
}

func TestOneSeedIsOneRun(t *testing.T) {
	first, err := Run(config(7))
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := Run(config(7)); second.Hash != first.Hash {
		t.Fatalf("seed 7 ran as %x and as %x", first.Hash, second.Hash)
	}
}
