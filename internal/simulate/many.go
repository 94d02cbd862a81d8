package simulate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Many runs the groups of so many seeds, from the first on, on so many goroutines,
// until one breaks a promise: the error is then a [*Failure]. progress, where it is
// set, is told after each run what there has been so far, by one goroutine at a
// time.
func Many(ctx context.Context, first, count uint64, workers int, progress func(Total)) (Total, error) {
	var (
		mu    sync.Mutex
		total Total
		err   error
		taken atomic.Uint64
		work  sync.WaitGroup
	)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for range workers { // one for each of workers
		work.Go(func() {
			for ctx.Err() == nil {
				next := taken.Add(1) - 1
				if next >= count {
					return
				}
				r, failed := Run(ctx, Shaped(first+next))
				mu.Lock()
				total.Add(r)
				if progress != nil {
					progress(total)
				}
				if failure(failed) != nil && err == nil {
					err = failed
					stop()
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if err == nil && taken.Load() < count {
		err = context.Cause(ctx)
	}
	return total, err
}

// Explain runs a group that breaks a promise again, without whatever it breaks it
// without, and returns what is left, and what then happens, as text.
func Explain(ctx context.Context, c Config) string {
	c, why := Shrink(ctx, c)
	if why == nil {
		return "the run breaks no promise, or was interrupted\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n\nwhat it takes (%d of its choices):\n", why, len(c.Only))
	for _, choice := range c.Only {
		fmt.Fprintf(&b, "%v\n", choice)
	}
	r, _ := Run(ctx, c) // which fails as before
	fmt.Fprintf(&b, "\nwhat happens:\n%s", r.Transcript)
	return b.String()
}
