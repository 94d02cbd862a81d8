package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
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
		Use:   "dump DIR",
		Short: "List what a journal holds, and verify it",
		Long: `List a journal's records and payloads, as text. Every checksum is verified; what is
damaged is named, and the exit code is then 1. Nothing is changed. The handler that
uses the journal must not be running. No payload is shown, only its size.`,
		Example: "  parley journal dump /var/lib/parley/journal",
		Args:    oneArgument("DIR"),

		ValidArgsFunction: completeFirst(directories),
		RunE: func(cmd *cobra.Command, args []string) error {
			return journal.Dump(args[0], journal.Options{}, cmd.OutOrStdout(), func(key, value []byte) string {
				return fsm.Describe(key, value, peerText)
			})
		},
	}
}

// peerText is a peer's ID as it is usually written.
func peerText(peer fsm.Peer) string {
	id, err := identity.FromBytes([]byte(peer))
	if err != nil {
		return fmt.Sprintf("%x", string(peer))
	}
	return id.String()
}
