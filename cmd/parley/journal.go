package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/settings"
)

func newJournal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Look into a journal, and mend what it stands for",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newJournalDump(), newJournalChanges(), newJournalCheck(), newJournalNewEpoch(), newJournalForget())
	return cmd
}

// journalOf is the journal that is named, or the node's own.
func journalOf(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	n, err := nodeOf(cmd)
	return n.path(settings.Journal), err
}

// peerText is a peer's ID as it is usually written.
func peerText(peer fsm.Peer) string {
	id, err := identity.FromBytes([]byte(peer))
	if err != nil {
		return fmt.Sprintf("%x", string(peer))
	}
	return id.String()
}
