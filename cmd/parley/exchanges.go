package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newExchanges() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exchanges",
		Short: "Look at exchanges, and end them",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExchangesLs(), newExchangesShow(), newExchangesCancel())
	return cmd
}

func newExchangesLs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the exchanges that are open, and what each waits for",
		Args:  noArguments,
	}
	peer := cmd.Flags().String("peer", "", "only with this peer")
	lane := cmd.Flags().String("lane", "", "only of lanes that begin so")
	completeFlag(cmd, "peer", live(peersKnown))
	completeFlag(cmd, "lane", live(lanesOpen))
	return asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.ListExchangesResponse, error) {
		return c.ListExchanges(ctx, &v1.ListExchangesRequest{Peer: *peer, LanePrefix: *lane})
	}, func(out io.Writer, got *v1.ListExchangesResponse) error {
		return exchangesTable(out, got.Exchanges)
	})
}

func exchangesTable(out io.Writer, exchanges []*v1.Exchange) error {
	var rows [][]string
	for _, x := range exchanges {
		way := "from"
		if x.MadeHere {
			way = "to"
		}
		rows = append(rows, []string{tag(x.Id), way, or(x.Name, x.Peer), or(x.Lane, "-"), ago(x.Made), x.State, x.Waiting})
	}
	return table(out, "no exchange is open", "ID WAY PEER LANE MADE STATE WAITS-FOR", rows)
}

func newExchangesShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show an exchange, open or ended",
		Args:  oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(whichever))),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.Exchange, error) {
		return c.GetExchange(ctx, &v1.GetExchangeRequest{Id: args[0]})
	}, func(out io.Writer, x *v1.Exchange) error {
		return table(out, "", "EXCHANGE "+x.Id, [][]string{
			{"peer", or(x.Name, x.Peer)}, {"made here", fmt.Sprint(x.MadeHere)}, {"lane", or(x.Lane, "-")}, {"key", or(x.Key, "-")},
			{"state", x.State}, {"waits for", x.Waiting}, {"made", ago(x.Made)}, {"deadline", ago(x.Deadline)}, {"ended", ago(x.Ended)},
			{"request", fmt.Sprint(x.RequestSize, " bytes")}, {"reply", fmt.Sprint(x.ReplySize, " bytes")}, {"reason", or(x.Reason, "-")},
			{"failures", fmt.Sprint(x.Failures)}, {"next attempt", ago(x.Retry)},
		})
	})
}

func newExchangesCancel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "End an exchange that was made here",
		Args:  oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(madeHere))),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.CancelResponse, error) {
		return c.Cancel(ctx, &v1.CancelRequest{Id: args[0]})
	}, silent)
}
