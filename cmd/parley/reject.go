package main

import (
	"context"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newReject() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reject ID",
		Short:   "Refuse a peer's request for good",
		Example: "  parley reject 3f9c --reason 'the session is over'",
		Args:    oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(toBeAnswered))),
	}
	reason := cmd.Flags().String("reason", "", "what the peer is told, at most 1,024 bytes")
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.RejectResponse, error) {
		return c.Reject(ctx, &v1.RejectRequest{Id: args[0], Reason: *reason})
	}, silent)
}
