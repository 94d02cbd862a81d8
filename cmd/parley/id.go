package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newID() *cobra.Command {
	return &cobra.Command{
		Use:   "id",
		Short: "Print this node's ID",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			if _, _, err := n.settings(cmd); err != nil {
				return err
			}
			key, err := n.key()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key.PeerID())
			return err
		},
	}
}
