package main

import "github.com/parley-p2p/parley/internal/simulate"

// simulation is how far the runs are or, once done, what they came to.
type simulation struct {
	Seed  uint64 `json:"seed"` // the first
	Seeds uint64 `json:"seeds"`
	Runs  int    `json:"runs"` // so far
	Done  bool   `json:"done"`
	OK    bool   `json:"ok"`              // once done: no promise was broken
	Nodes int    `json:"nodes,omitempty"` // of one run
	Hash  string `json:"hash,omitempty"`  // of everything that happened in it
	Trace string `json:"trace,omitempty"` // what happened in it, where that was asked for

	Exchanges int            `json:"exchanges"`
	Answered  int            `json:"answered"`
	Rejected  int            `json:"rejected"`
	GivenUp   int            `json:"givenUp"`
	Waiting   int            `json:"waiting"` // for an application that never answers
	Gone      int            `json:"gone"`    // with a journal
	Turns     int            `json:"turns"`
	Syncs     int            `json:"syncs"`
	Frames    int            `json:"frames"`
	Lost      int            `json:"lost"` // of the frames
	Overtaken int            `json:"overtaken"`
	Faults    int            `json:"faults"` // that struck something in flight
	Struck    map[string]int `json:"struck"` // by their kinds
	Settled   float64        `json:"settledSeconds"`
}

// explanation is what a run takes to break a promise, and how that happens.
type explanation struct {
	Seed uint64 `json:"seed"`
	Text string `json:"text"`
}

func simulationOf(o simulateOptions, t simulate.Total, done bool) *simulation {
	s := &simulation{
		Seed: o.seed, Seeds: o.seeds, Runs: t.Runs, Done: done,
		Exchanges: t.Exchanges, Answered: t.Answered, Rejected: t.Rejected, GivenUp: t.GivenUp, Waiting: t.Waiting, Gone: t.Gone,
		Turns: t.Turns, Syncs: t.Syncs, Frames: t.Frames, Lost: t.FramesCut, Overtaken: t.Overtaken,
		Faults: t.Faults, Struck: map[string]int{}, Settled: t.Settled.Seconds(),
	}
	for _, k := range simulate.Kinds() {
		if t.Struck[k] > 0 {
			s.Struck[k.String()] = t.Struck[k]
		}
	}
	return s
}
