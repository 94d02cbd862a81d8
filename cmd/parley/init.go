package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/durable"
	"github.com/parley-p2p/parley/internal/settings"
)

// madeNode is a node that is there now.
type madeNode struct {
	ID        string `json:"id"`
	Directory string `json:"directory"`
}

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a node: its directory, key and settings",
		Long: `Make a directory with a new identity key, the settings and an empty allow list.
What is there already stays as it is, so that init can be run again.`,
		Example: "  parley init --dir alice --listen 0.0.0.0:4001",
		Args:    noArguments,
	}
	where := "" // as it was said, so that what is printed can be typed
	listen := cmd.Flags().String("listen", "0.0.0.0:4001", "where peers reach the node; port 0 takes a free one at each start")
	return answers(cmd, func(cmd *cobra.Command, _ []string) (*madeNode, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		if dir := cmd.Flag("dir"); dir.Changed {
			where = " --dir " + dir.Value.String()
		}
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return nil, err
		}
		key, err := identity.LoadOrGenerate(n.path(settings.Key))
		if err != nil {
			return nil, err
		}
		for name, content := range map[string]string{
			settings.File:      settings.Template(*listen),
			settings.AllowList: "# Who may connect: see parley peers add.\n",
		} {
			if err := durable.WriteNew(n.path(name), []byte(content), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
		}
		if err := durable.SyncDirectory(n.dir); err != nil {
			return nil, err
		}
		return &madeNode{key.PeerID().String(), n.dir}, nil
	}, func(out io.Writer, made *madeNode) error {
		_, err := fmt.Fprintf(out, `%s

That is this node's ID, which its peers put on their allow lists; its files are in
%s. Start it with: parley run%s
List a peer with:  parley peers add%[3]s ID --name NAME --address HOST:PORT
`, made.ID, made.Directory, where)
		return err
	})
}
