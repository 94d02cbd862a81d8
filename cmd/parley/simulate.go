package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/simulate"
)

const (
	simulatedMax = 2000 // nodes of a run
	workersMax   = 256
)

type simulateOptions struct {
	seed, seeds   uint64
	nodes         int
	acquaintances int
	workers       int
	trace         bool
}

func newSimulate() *cobra.Command {
	var o simulateOptions
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Try whole groups of nodes on virtual time, amid failures of every kind",
		Long: `Run groups of nodes in one process, on virtual time: the very state machine and
mediator of a real node, over a network, disks, applications and operators that fail
as real ones do, and see in every step that each promise holds. Everything is drawn
from the seed: the same seed gives the same run, and the same trace hash.

A run that breaks a promise is cut down to the requests and faults that it takes, and
told step by step. Which group a seed stands for, and which faults, is part of the
seed; --nodes makes another group of it.

` + exitCodes,
		Example: "  parley simulate --seeds 1000\n  parley simulate --seed 4711\n  parley simulate --seed 4711 --trace\n  parley simulate --seed 1 --nodes 1000 --acquaintances 8",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usageError{err}
			}
			if o.seeds > 1 {
				return simulateMany(cmd, o)
			}
			return simulateOne(cmd, o)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&o.seed, "seed", 1, "the seed to run, or the first of them")
	flags.Uint64Var(&o.seeds, "seeds", 1, "how many seeds to run")
	flags.IntVar(&o.nodes, "nodes", 0, "so many nodes, instead of the seed's")
	flags.IntVar(&o.acquaintances, "acquaintances", 0, "of how many others each node knows; 0: all")
	flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "runs at a time")
	flags.BoolVar(&o.trace, "trace", false, "tell everything that happens, of one seed")
	withJSON[simulation](cmd)
	return withJSON[explanation](cmd)
}

func (o *simulateOptions) check() error {
	switch {
	case o.seeds == 0:
		return errors.New("--seeds is 0: want 1 or more")
	case o.nodes != 0 && (o.nodes < 2 || o.nodes > simulatedMax):
		return fmt.Errorf("--nodes is %d: want 2 to %d", o.nodes, simulatedMax)
	case o.acquaintances < 0 || o.acquaintances%2 != 0:
		return fmt.Errorf("--acquaintances is %d: want an even number, half of them on either side, or 0", o.acquaintances)
	case o.workers < 1 || o.workers > workersMax:
		return fmt.Errorf("--workers is %d: want 1 to %d", o.workers, workersMax)
	case o.seeds > 1 && (o.nodes != 0 || o.acquaintances != 0 || o.trace):
		return errors.New("--nodes, --acquaintances and --trace are for one seed: leave --seeds out")
	}
	return nil
}

// simulateOne runs one seed.
func simulateOne(cmd *cobra.Command, o simulateOptions) error {
	c := simulate.Shaped(o.seed)
	if o.nodes > 0 {
		c.Nodes, c.Requests = o.nodes, max(110/o.nodes, 6)
	}
	c.Acquaintances, c.Trace = o.acquaintances, o.trace
	r, err := simulate.Run(cmd.Context(), c)
	var total simulate.Total
	total.Add(r)
	s := simulationOf(o, total, true)
	s.Nodes, s.Hash, s.Trace, s.OK = c.Nodes, fmt.Sprintf("%016x", r.Hash), r.Transcript, err == nil
	if failed := show(cmd, s, func(out io.Writer, s *simulation) error {
		fmt.Fprint(out, s.Trace)
		_, err := fmt.Fprintf(out, "seed %d, %d nodes, %v of virtual time: trace hash %s\n%v\n", r.Seed, c.Nodes, r.Took.Round(time.Second), s.Hash, &total)
		return err
	}); failed != nil {
		return failed
	}
	var broken *simulate.Failure
	if errors.As(err, &broken) {
		return explained(cmd, c, err)
	}
	return err
}

// simulateMany runs a row of seeds, and tells from time to time how far it is.
func simulateMany(cmd *cobra.Command, o simulateOptions) error {
	began, last := time.Now(), time.Now()
	total, err := simulate.Many(cmd.Context(), o.seed, o.seeds, o.workers, func(t simulate.Total) {
		if time.Since(last) > 10*time.Second {
			last = time.Now()
			_ = show(cmd, simulationOf(o, t, false), func(out io.Writer, s *simulation) error { // the end is what counts
				_, err := fmt.Fprintf(out, "%d of %d runs, %d exchanges, %d faults\n", s.Runs, s.Seeds, s.Exchanges, s.Faults)
				return err
			})
		}
	})
	s := simulationOf(o, total, true)
	s.OK = err == nil
	if failed := show(cmd, s, func(out io.Writer, s *simulation) error {
		_, err := fmt.Fprintf(out, "%v\n", &total)
		if err == nil && s.OK {
			_, err = fmt.Fprintf(out, "no promise was broken, in %v\n", time.Since(began).Round(time.Second))
		}
		return err
	}); failed != nil {
		return failed
	}
	var broken *simulate.Failure
	if errors.As(err, &broken) {
		return explained(cmd, simulate.Shaped(broken.Seed), err)
	}
	return err
}

// explained cuts a run that has failed down to what it takes.
func explained(cmd *cobra.Command, c simulate.Config, err error) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "cutting down seed %d, which may take a minute\n", c.Seed)
	e := &explanation{c.Seed, simulate.Explain(cmd.Context(), c)}
	if failed := show(cmd, e, func(out io.Writer, e *explanation) error {
		_, err := fmt.Fprint(out, "\n", e.Text)
		return err
	}); failed != nil {
		return failed
	}
	return fmt.Errorf("%w: %w", errOff, err)
}
