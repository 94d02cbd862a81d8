package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newPeersPing() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ping PEER",
		Short: "See whether a peer answers, and how fast",
		Long: `See whether a peer answers: it is resolved, connected to, proves its key, takes this
node for one of its own, and answers. No exchange is touched. Where a step fails the
exit code is 3.`,
		Example: "  parley peers ping bob",
		Args:    oneArgument("PEER"),

		ValidArgsFunction: completeFirst(live(peersKnown)),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.ProbeResponse, error) {
		p, err := c.Probe(ctx, &v1.ProbeRequest{Peer: args[0]})
		if err == nil && !p.Ok {
			err = failedProbe(p)
		}
		return p, err
	}, func(out io.Writer, p *v1.ProbeResponse) error {
		if !p.Ok {
			return nil
		}
		last := p.Steps[len(p.Steps)-1]
		_, err := fmt.Fprintf(out, "%s answers from %s in %s\n", or(p.Name, p.Peer), last.Detail, last.Took.AsDuration().Round(time.Microsecond))
		return err
	})
}

// failedProbe is the step that failed, and what to do about it.
func failedProbe(p *v1.ProbeResponse) error {
	last := p.Steps[len(p.Steps)-1]
	return fmt.Errorf("%w: %s, step %q: %s: %s", errOff, or(p.Name, p.Peer), last.Name, last.Failure, probeAdvice[last.Name])
}

// probeAdvice is what to do where a step fails, by its name.
var probeAdvice = map[string]string{
	"allowed": "see parley peers ls; list the peer with parley peers add",
	"resolve": "give a right address: parley peers add ID --address HOST:PORT",
	"connect": "is the peer's node running, is its port open to this machine, and is the address right? Else: parley peers add ID --address HOST:PORT",
	"key":     "another node, or one that hangs, or no node, is at the address: see that the peer's runs; else correct the address, or the peer's ID, with parley peers add",
	"listed":  "on the peer's side, parley peers pending shows this node, and parley peers accept lets it in",
	"answer":  "the peer's node is there: have its operator look at its log and, where it hangs, restart it",
}
