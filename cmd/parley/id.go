package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newID() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Print this node's ID",
		Args:  noArguments,
	}
	return answers(cmd, func(cmd *cobra.Command, _ []string) (*keyFile, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		if _, _, err := n.settings(cmd); err != nil {
			return nil, err
		}
		return n.keyFile()
	}, printID)
}

func printID(out io.Writer, k *keyFile) error {
	_, err := fmt.Fprintln(out, k.ID)
	return err
}
