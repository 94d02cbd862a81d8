package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// completionTime is how long a shell waits for the node, at most. Where none answers
// nothing is offered, and nothing said.
const completionTime = time.Second

// completePeers offers the peers, as the first argument.
func completePeers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeFirst(cmd, args, func(ctx context.Context, c parleyv1connect.NodeClient) (all []cobra.Completion) {
		got, err := c.ListPeers(ctx, &v1.ListPeersRequest{})
		if err != nil {
			return nil
		}
		for _, p := range got.Peers {
			all = append(all, cobra.CompletionWithDesc(or(p.Name, p.Id), standing(p)))
		}
		return all
	})
}

// completePending offers the peers that were refused.
func completePending(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeFirst(cmd, args, func(ctx context.Context, c parleyv1connect.NodeClient) (all []cobra.Completion) {
		got, err := c.ListPending(ctx, &v1.ListPendingRequest{})
		if err != nil {
			return nil
		}
		for _, p := range got.Pending {
			all = append(all, cobra.CompletionWithDesc(p.Id, "from "+p.Address))
		}
		return all
	})
}

// completeExchanges offers the exchanges that are open and fit.
func completeExchanges(fits func(*v1.Exchange) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return completeFirst(cmd, args, func(ctx context.Context, c parleyv1connect.NodeClient) (all []cobra.Completion) {
			got, err := c.ListExchanges(ctx, &v1.ListExchangesRequest{})
			if err != nil {
				return nil
			}
			for _, x := range got.Exchanges {
				if fits(x) {
					all = append(all, cobra.CompletionWithDesc(tag(x.Id), fmt.Sprintf("%s, lane %q", or(x.Name, x.Peer), x.Lane)))
				}
			}
			return all
		})
	}
}

// anyExchange, madeHere and toBeAnswered are what commands are about.
func anyExchange(*v1.Exchange) bool { return true }
func madeHere(x *v1.Exchange) bool  { return x.MadeHere }
func toBeAnswered(x *v1.Exchange) bool {
	return !x.MadeHere && (x.State == "stored" || x.State == "delivered")
}

// completeDeadLetters offers the dead letters.
func completeDeadLetters(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeFirst(cmd, args, func(ctx context.Context, c parleyv1connect.NodeClient) (all []cobra.Completion) {
		got, err := c.ListDeadLetters(ctx, &v1.ListDeadLettersRequest{})
		if err != nil {
			return nil
		}
		for _, l := range got.DeadLetters {
			all = append(all, cobra.CompletionWithDesc(tag(l.Id), or(l.Name, l.Peer)+": "+l.Reason))
		}
		return all
	})
}

// completeFirst offers what the node knows as the first argument, and nothing after it.
func completeFirst(cmd *cobra.Command, args []string, ask func(context.Context, parleyv1connect.NodeClient) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	c, err := client(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	return ask(ctx, c), cobra.ShellCompDirectiveNoFileComp
}
