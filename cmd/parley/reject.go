package main

import (
	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newReject() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reject ID",
		Short:   "Refuse a peer's request for good",
		Example: "  parley reject 3f9c --reason 'the session is over'",
		Args:    oneArgument("ID"),

		ValidArgsFunction: completeExchanges(toBeAnswered),
	}
	reason := cmd.Flags().String("reason", "", "what the peer is told, at most 1,024 bytes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client(cmd)
		if err != nil {
			return err
		}
		_, err = c.Reject(cmd.Context(), &v1.RejectRequest{Id: args[0], Reason: *reason})
		return said(err)
	}
	return cmd
}
