package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/settings"
)

func newKeyExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Copy the node's key, the secret itself",
		Long: `Copy the node's key into a new file that only its owner can read, or with --hex print
it. Whoever has it is this node to its peers: stop this node before another one uses
it, and move its journal with it.`,
		Example: "  parley key export backup.key",
		Args:    oneAtMost("FILE"),

		ValidArgsFunction: completeFirst(files),
	}
	asHex := cmd.Flags().Bool("hex", false, "print it in hexadecimal digits, as BitVMX configurations have it")
	return answers(cmd, func(cmd *cobra.Command, args []string) (*keyFile, error) {
		if *asHex != (len(args) == 0) {
			return nil, usageError{errors.New("name a new FILE to copy the key into, or print it with --hex, and not both")}
		}
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		key, err := n.key()
		if err != nil {
			return nil, err
		}
		if len(args) == 1 {
			return save(key, args[0])
		}
		k := describe(key, n.path(settings.Key))
		if k.Secret, err = key.Hex(); err != nil {
			return nil, err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "What follows is the secret key of this node. Whoever sees it can be this node to all its peers.")
		return k, nil
	}, func(out io.Writer, k *keyFile) error {
		_, err := fmt.Fprintln(out, or(k.Secret, k.ID))
		return err
	})
}
