package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/durable"
	"github.com/parley-p2p/parley/internal/settings"
)

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a node: its directory, key and settings",
		Long: `Make a directory with a new identity key, the settings and an empty allow list.
What is there already stays as it is, so that init can be run again.`,
		Example: "  parley init --dir alice --listen 0.0.0.0:4001",
		Args:    noArguments,
	}
	listen := cmd.Flags().String("listen", "0.0.0.0:4001", "where peers reach the node; port 0 takes a free one at each start")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		n, err := nodeOf(cmd)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return err
		}
		key, err := identity.LoadOrGenerate(n.path(settings.Key))
		if err != nil {
			return err
		}
		for name, content := range map[string]string{
			settings.File:      settings.Template(*listen),
			settings.AllowList: "# Who may connect: see parley peers add.\n",
		} {
			if err := durable.WriteNew(n.path(name), []byte(content), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if err := durable.SyncDirectory(n.dir); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), `%s

That is this node's ID, which its peers put on their allow lists; its files are in
%s. Start it with: parley run
List a peer with:  parley peers add ID --name NAME --address HOST:PORT
`, key.PeerID(), n.dir)
		return err
	}
	return cmd
}
