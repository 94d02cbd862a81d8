package simulate

import (
	"context"
	"errors"
	"slices"
)

// shrinkRuns bounds the runs of a Shrink.
const shrinkRuns = 300

// Shrink leaves out of a run that breaks a promise whatever it breaks it without:
// requests and faults. It returns what is left, to be run again with Config.Only,
// and how that breaks the same promise, be it by another cause; the config itself,
// and nil, when its run doesn't fail.
func Shrink(ctx context.Context, c Config) (Config, *Failure) {
	c.Trace = true
	r, err := Run(ctx, c)
	first := failure(err)
	if first == nil {
		return c, nil
	}
	left, why := r.Choices, first
	runs := 0
	// without tries to do without some choices.
	without := func(some []Choice) bool {
		if runs++; runs > shrinkRuns {
			return false
		}
		c.Only = append([]Choice{}, some...) // never nil, which is all
		r, err := Run(ctx, c)
		f := failure(err)
		if f == nil || f.Promise != first.Promise {
			return false
		}
		left, why = r.Choices, f // those that were still made
		return true
	}
	for k := Asks; k < latency; k++ { // all of a kind at once, which is most of it
		without(slices.DeleteFunc(slices.Clone(left), func(c Choice) bool { return c.kind == k }))
	}
	for size := max(1, len(left)/2); size > 0; {
		before := len(left)
		for from := 0; from < len(left); {
			if !without(slices.Concat(left[:from], left[min(from+size, len(left)):])) {
				from += size
			}
		}
		if size > 1 || len(left) == before { // what goes may be what another couldn't go without
			size /= 2
		}
	}
	c.Only = left
	return c, why
}

func failure(err error) *Failure {
	var f *Failure
	errors.As(err, &f)
	return f
}
