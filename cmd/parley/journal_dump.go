package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
)

// journalEntry is one thing that a journal holds, or that is wrong with it. What a
// field doesn't say is left out.
type journalEntry struct {
	Kind   journal.EntryKind `json:"kind"` // journal, owner, numbers, record, payload or damage
	Text   string            `json:"text,omitempty"`
	Number uint64            `json:"number,omitempty,string"`
	Size   int64             `json:"size,omitempty,string"` // bytes
	File   string            `json:"file,omitempty"`
}

func newJournalDump() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump [DIR]",
		Short: "List what a journal holds, and verify it",
		Long: `List the records and payloads of a journal, the node's own unless DIR names another.
What is said of a record is for people: its form isn't kept. Every checksum is verified;
what is damaged is named, and the exit code is then 1. Nothing is changed. The node, or
the handler that uses the journal, must not be running. No payload is shown, only its
size.`,
		Example: "  parley journal dump /var/lib/parley/journal",
		Args:    oneAtMost("DIR"),

		ValidArgsFunction: completeFirst(directories),
	}
	withJSON[journalEntry](cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := journalOf(cmd, args)
		if err != nil {
			return err
		}
		if asJSON, err := cmd.Flags().GetBool("json"); err != nil || !asJSON {
			return journal.Dump(dir, journal.Options{}, cmd.OutOrStdout(), describeRecord)
		}
		return journal.Walk(dir, journal.Options{}, func(e journal.Entry) error { return printEntry(cmd.OutOrStdout(), e) })
	}
	return cmd
}

func describeRecord(key, value []byte) string { return fsm.Describe(key, value, peerText) }

// printEntry prints one line of JSON.
func printEntry(out io.Writer, e journal.Entry) error {
	line := journalEntry{Kind: e.Kind, Number: e.Number, Size: e.Size, File: e.File}
	switch e.Kind {
	case journal.Owner:
		line.Text = e.Owner
	case journal.OneRecord:
		line.Text = describeRecord(e.Key, e.Value)
	case journal.Damage:
		line.Text = fmt.Sprint(e.Damage)
	}
	return printJSON(out, line)
}
