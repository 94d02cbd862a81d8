package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// errOff is what a command says that ran to its end and found something wrong: a
// promise that was not kept, a peer that does not answer.
var errOff = errors.New("something is off")

const (
	programsMax    = 8        // over which the transactions are spread, each a lane
	messageSizeMax = 16 << 20 // bytes
	nodesMax       = 64
	stallLimit     = 30 * time.Second // without any progress of any member
	chaosLimit     = 2 * time.Minute  // for a session amid chaos, some ten times what it takes
	drawInterval   = 100 * time.Millisecond
	lineInterval   = time.Second // where the output is no terminal
)

type demoOptions struct {
	nodes        int
	transactions int
	messageSize  int
	seed         uint64
	crash        bool
	chaos        bool
	json         bool
	keep         string
}

func newDemo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Let a committee sign Bitcoin transactions together, and audit it",
		Long: `A committee signs Bitcoin transactions by MuSig2 (BIP-327): every member asks every
other one for its key, its public nonces and its partial signatures, over loopback,
each with its own key, journal and listener. The transactions are chains, one for
each program, which has its own lane. Every signature is verified by BIP-340.

At the end the members' own durable state is audited: that no exchange was lost, that
no effect was applied twice, that no nonce was used twice. With --crash the members
are processes, and are killed and started again while they sign. The times p50 and
p99 are from an exchange's turn in its lane to its reply; a responder that waits for
other members, before it can answer, is in them.

With --chaos they are killed, and besides:
  - connections between members are cut, reset, stalled and half-closed;
  - members are taken off the allow lists of the others, and put back;
  - strangers come to every member, again and again, from several addresses, with
    silence, garbage and true handshakes;
  - a peer that is on all lists, and has no part in the signing, goes mad: it sends
    bad frames, floods every member with requests, and reads nothing.
All of it is drawn from the seed: when, by work done, and what. When it really comes,
and how far a flood gets, is up to the machine. It needs the loopback addresses
127.0.1.1 and on, of which Linux has all. What fails keeps its files.

` + exitCodes,
		Example: "  parley demo\n  parley demo --crash --seed 7\n  parley demo --chaos --seed 3\n  parley demo --json | tail -n 1",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usageError{err}
			}
			o.crash = o.crash || o.chaos
			return runDemo(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.nodes, "nodes", 4, "members of the committee")
	flags.IntVar(&o.transactions, "transactions", 50, "transactions to sign")
	flags.IntVar(&o.messageSize, "message-size", 0, "pad messages to so many `bytes`")
	flags.Uint64Var(&o.seed, "seed", 1, "decides what is signed and what goes wrong, and when; keys and nonces are random")
	flags.BoolVar(&o.crash, "crash", false, "kill members at random moments (SIGKILL) and start them again")
	flags.BoolVar(&o.chaos, "chaos", false, "kill members, disturb connections, unlist members, let strangers and a mad peer attack")
	flags.BoolVar(&o.json, "json", false, "write JSON, one object a line; the last is the result")
	flags.StringVar(&o.keep, "keep", "", "keep the members' files in this new `directory`")
	completeFlag(cmd, "keep", directories)
	return cmd
}

func (o *demoOptions) check() error {
	for _, limit := range []struct {
		name             string
		value, low, high int
	}{
		{"nodes", o.nodes, 2, nodesMax},
		{"transactions", o.transactions, 1, 100_000},
		{"message-size", o.messageSize, 0, messageSizeMax},
	} {
		if limit.value < limit.low || limit.value > limit.high {
			return fmt.Errorf("--%s is %d: want %d to %d", limit.name, limit.value, limit.low, limit.high)
		}
	}
	return nil
}

// runDemo gathers the committee, lets it sign while it is watched, and audits it.
// What fails leaves its files, for whoever looks into it.
func runDemo(ctx context.Context, out io.Writer, o demoOptions) (err error) {
	g, err := gather(o)
	if err != nil {
		return fmt.Errorf("preparing the committee: %w", err)
	}
	defer func() {
		if err != nil && !errors.Is(err, context.Canceled) {
			g.keep = true
			err = fmt.Errorf("%w\nseed %d: the members' journals, states and logs are kept in %s", err, o.seed, g.directory)
		}
		err = errors.Join(err, g.remove())
	}()

	show := newDisplay(out, o, g)
	began := time.Now()
	seen, err := watch(ctx, g, o, show)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %w", err)
	}
	if err != nil {
		return errors.Join(err, g.lastWords())
	}
	result := &result{options: o, view: *seen, took: time.Since(began)}
	if o.chaos {
		result.strangers, result.mad = g.chaos.assault.byStrangers, g.chaos.assault.byMad
	}
	if result.report, err = g.audit(); err != nil {
		return fmt.Errorf("auditing the members' state: %w", err)
	}
	if err := show.result(result); err != nil {
		return err
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("%w: %w", errOff, err)
	}
	return nil
}

// watch runs the members until all are done, and shows how far they are.
func watch(ctx context.Context, g *gathering, o demoOptions, show display) (*view, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news := make(chan bulletin)
	tell := func(b bulletin) {
		select {
		case news <- b:
		case <-ctx.Done():
		}
	}
	ended := make(chan error, 1)
	go func() {
		switch {
		case o.chaos:
			ended <- g.chaos.run(ctx, o.seed, tell)
		case o.crash:
			ended <- runApart(ctx, g, o.seed, tell)
		default:
			ended <- runTogether(ctx, g, tell)
		}
	}()

	seen := newView(g)
	ticker := time.NewTicker(show.interval())
	defer ticker.Stop()
	stalled := time.NewTimer(stallLimit)
	defer stalled.Stop()
	var late <-chan time.Time
	if o.chaos {
		late = time.After(chaosLimit)
	}
	hang := func(what string) error {
		stop()
		select { // members that hang are killed meanwhile
		case <-ended:
		case <-time.After(2 * stopPatience):
		}
		return errors.New(what)
	}
	for done := false; ; {
		select {
		case b := <-news:
			if seen.take(b) {
				stalled.Reset(stallLimit)
			}
			if !done && allDone(seen.members) {
				done = true
				stop()
			}
		case <-ticker.C:
			if err := show.progress(seen); err != nil {
				return nil, err
			}
		case <-stalled.C:
			return nil, hang(fmt.Sprintf("no member has made progress for %v", stallLimit))
		case <-late:
			return nil, hang(fmt.Sprintf("the committee hasn't signed everything within %v", chaosLimit))
		case err := <-ended:
			if err == nil && !done {
				err = context.Canceled // by the user: the members stop only when told to
			}
			return seen, errors.Join(err, show.progress(seen))
		}
	}
}

// together runs all parts at once and waits for them; the first to fail ends the others.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error)
	for _, part := range parts {
		go func() { ends <- part(ctx) }()
	}
	var failed error
	for range parts {
		if err := <-ends; err != nil {
			failed = errors.Join(failed, err)
			stop()
		}
	}
	return failed
}
