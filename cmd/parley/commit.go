package main

import (
	"context"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newCommit() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "commit ID...",
		Short:   "Be done with outcomes of the inbox",
		Long:    "Be done with outcomes of the inbox: replies, requests that failed, and those of peers\nthat were given up. They aren't given again, and their bodies go.",
		Example: "  parley commit 3f9c 8363",
		Args:    oneOrMore("ID"),

		ValidArgsFunction: live(exchangesOpen(toBeCommitted)),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.CommitResponse, error) {
		return c.Commit(ctx, &v1.CommitRequest{Ids: args})
	}, silent)
}
