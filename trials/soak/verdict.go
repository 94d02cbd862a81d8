package main

import (
	"fmt"
	"io"
	"slices"
)

// measure is one thing that must stay flat, and by how much the last quarter may be
// above the second: a part of it, and an amount, for what goes up and down anyway.
type measure struct {
	name   string
	of     func(sample) float64
	part   float64
	amount float64
	why    string
}

var measures = []measure{
	{"heap MiB", func(s sample) float64 { return s.heap }, 0.10, 2, "exchanges under way"},
	{"RSS MiB", func(s sample) float64 { return s.resident }, 0.10, 16, "what the collector has not given back"},
	{"files", func(s sample) float64 { return s.files }, 0.10, 8, "connections of the moment, Pebble's tables"},
	{"goroutines", func(s sample) float64 { return s.goroutines }, 0.10, 30, "connections of the moment"},
	{"disk MiB", func(s sample) float64 { return s.disk }, 0.10, 24, "the logs, of up to 16 MiB in each node, are full or new"},
}

// grew reports whether the last quarter lies above the second by more than is
// tolerated.
func (m measure) grew(quarters [4]float64) bool {
	return quarters[3] > quarters[1]*(1+m.part)+m.amount
}

// verdict prints the medians of the quarters and returns what has grown.
func verdict(out io.Writer, samples []sample) (grown []string) {
	if len(samples) < 8 {
		fmt.Fprintf(out, "\n%d samples are too few for a verdict\n", len(samples))
		return nil
	}
	fmt.Fprintf(out, "\n%-11s %9s %9s %9s %9s   the last may be\n", "medians", "first", "second", "third", "last")
	for _, m := range measures {
		quarters := m.medians(samples)
		word := ""
		if m.grew(quarters) {
			word = "  GROWN"
			grown = append(grown, m.name)
		}
		fmt.Fprintf(out, "%-11s %9.1f %9.1f %9.1f %9.1f   %.0f %% and %.0f above the second (%s)%s\n",
			m.name, quarters[0], quarters[1], quarters[2], quarters[3], 100*m.part, m.amount, m.why, word)
	}
	return grown
}

// medians are those of the four quarters.
func (m measure) medians(samples []sample) (quarters [4]float64) {
	for q := range quarters {
		var values []float64 // a quarter of the samples
		for _, s := range samples[q*len(samples)/4 : (q+1)*len(samples)/4] {
			values = append(values, m.of(s))
		}
		slices.Sort(values)
		quarters[q] = values[len(values)/2]
	}
	return quarters
}
