package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/audit"
)

func newJournalChanges() *cobra.Command {
	return &cobra.Command{
		Use:   "changes DIR",
		Short: "List how the allow list has changed",
		Long: `List who was put on the allow list of the handler with this directory, taken off it or
changed, when and by what, oldest first; as far back as allowlist.log goes. A line that
is damaged is named, and the exit code is then 1. Nothing is changed, and the handler
may be running.`,
		Example: "  parley journal changes /var/lib/parley/journal",
		Args:    oneArgument("DIR"),
		RunE:    func(cmd *cobra.Command, args []string) error { return listChanges(cmd.OutOrStdout(), args[0]) },
	}
}

func listChanges(out io.Writer, dir string) error {
	var damaged error
	for e, err := range audit.Read(dir) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("no change of an allow list is written down in %s: give the Config.Dir of a handler: %w", dir, err)
		case errors.Is(err, audit.ErrDamaged):
			damaged = errors.Join(damaged, err)
			continue
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "%s  %-7s  %s, by %s\n", e.Time.UTC().Format(time.RFC3339), e.What, described(e.Member), e.By)
		if e.Was != nil {
			fmt.Fprintf(out, "%-20s  %-7s  %s\n", "", "was", described(*e.Was))
		}
	}
	return damaged
}

// described is a member with all that the list says of it.
func described(m allowlist.Member) string {
	text := m.ID.String()
	if m.Name != "" {
		text = fmt.Sprintf("%s %s", m.Name, m.ID)
	}
	if len(m.Addresses) > 0 {
		text += " at " + strings.Join(m.Addresses, " ")
	}
	if len(m.From) > 0 {
		text += fmt.Sprintf(" from %v", m.From)
	}
	if m.Limits != (allowlist.Limits{}) {
		text += fmt.Sprintf(" limits %+v", m.Limits)
	}
	return text
}
