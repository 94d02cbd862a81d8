// Soak lets real nodes exchange messages for a long time and says whether anything
// of them grows: memory, open files, goroutines, the journals on disk.
//
//	go run ./trials/soak --for 1h --report soak.txt
//
// The nodes live in one process, each with its own key, directory and listener on
// the loopback interface. Their traffic is steady and mixed: small and large
// messages, rejections, cancellations, deadlines; and amid it connections are cut,
// members are taken off the lists and put back, and nodes are closed and made again
// on their directories. Every request that was accepted must end once.
//
// Samples are taken after a garbage collection. At the end the quarters of the time
// are compared: the last may not be above the second, when all is warm, by more than
// the tolerance that stands in the report. Exit status 1 says that something grew,
// or that an exchange was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	length time.Duration
	every  time.Duration // between samples
	rate   float64       // requests a second, of all nodes together
	nodes  int
	seed   uint64
	dir    string
	report string
}

func main() {
	var o options
	flag.DurationVar(&o.length, "for", time.Hour, "how long")
	flag.DurationVar(&o.every, "every", 0, "between samples; 0: a sixtieth of the whole")
	flag.Float64Var(&o.rate, "rate", 10, "requests a second, of all nodes together; 10 need some 5 % of a core")
	flag.IntVar(&o.nodes, "nodes", 3, "how many, at least two")
	flag.Uint64Var(&o.seed, "seed", 1, "of the traffic")
	flag.StringVar(&o.dir, "dir", "", "for keys and journals; empty: one that is removed at the end")
	flag.StringVar(&o.report, "report", "", "`file` for samples and verdict besides standard output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run soaks, and tells to out and to the report, line by line, so that a run
// which is stopped has told what it saw.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	switch {
	case o.length <= 0 || o.rate <= 0 || o.nodes < 2 || flag.NArg() > 0:
		return errors.New("want a positive time and rate, at least two nodes, and no arguments")
	case o.every == 0:
		o.every = o.length / 60
	}
	if o.report != "" {
		file, err := os.Create(o.report)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = io.MultiWriter(out, file)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "parley-soak-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	fmt.Fprintf(out, "soak of %s, begun %s: %d nodes, %g requests a second, seed %d\n\n",
		o.length, time.Now().UTC().Format(time.DateTime), o.nodes, o.rate, o.seed)
	return o.soak(ctx, out)
}
