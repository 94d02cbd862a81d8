package simulate

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds are run")
	seed  = flag.Uint64("seed", 0, "the one seed to run, with its transcript")
)

// config is the group that a seed stands for: small or larger, and every other
// one with much of one kind of fault.
func config(seed uint64) Config {
	return shaped(seed, seed, 2+int(seed%4), 1+int(seed%5))
}

func shaped(seed, shape uint64, nodes, lanes int) Config {
	f := Rough()
	switch shape % 8 {
	case 1:
		f.Crash = 0.02
	case 3:
		f.Break = 0.08
	case 5:
		f.Cancel, f.Late = 0.4, 0.4
	case 7:
		f.Large, f.Unlist = 0.6, 0.01
	}
	return Config{Seed: seed, Nodes: nodes, Lanes: lanes, Requests: 20 + 10*int(shape%2), Faults: f}
}

// Runs that once broke a promise, in another state of the code.
func TestWhatWasFoundBefore(t *testing.T) {
	for _, found := range []struct {
		config Config
		what   string
	}{
		{shaped(347386093, 3, 4, 6), "frames go to a peer in the turn that takes it off the list"},
		{shaped(6096934919, 7, 3, 6), "a HELLO is lost on a connection that isn't the one in use"},
	} {
		if _, err := Run(found.config); err != nil {
			t.Errorf("%s: %v", found.what, err)
		}
	}
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
