package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
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

func newJournalDump() *cobra.Command {
	return &cobra.Command{
		Use:   "dump [DIR]",
		Short: "List what a journal holds, and verify it",
		Long: `List the records and payloads of a journal, the node's own unless DIR names another, as
text for people: its form isn't kept. Every checksum is verified; what is damaged is
named, and the exit code is then 1. Nothing is changed. The node, or the handler that
uses the journal, must not be running. No payload is shown, only its size.`,
		Example: "  parley journal dump /var/lib/parley/journal",
		Args:    oneAtMost("DIR"),

		ValidArgsFunction: completeFirst(directories),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := journalOf(cmd, args)
			if err != nil {
				return err
			}
			return journal.Dump(dir, journal.Options{}, cmd.OutOrStdout(), func(key, value []byte) string {
				return fsm.Describe(key, value, peerText)
			})
		},
	}
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
