package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/audit"
)

// allChanges are how the allow list has changed: as many as two files of
// audit.MaxFile bytes tell of.
type allChanges struct {
	Changes []change `json:"changes"`
}

type change struct {
	Time   time.Time `json:"time"`
	What   string    `json:"what"` // added, removed or changed
	By     string    `json:"by"`
	Member member    `json:"member"`
	Was    *member   `json:"was,omitempty"` // of who was changed
}

type member struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Addresses []string         `json:"addresses"`
	From      []netip.Prefix   `json:"from"`
	Limits    allowlist.Limits `json:"limits"` // those of its own
}

func newJournalChanges() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "changes [DIR]",
		Short: "List how the allow list has changed",
		Long: `List who was put on the node's allow list, or on that of the handler whose journal is
in DIR, taken off it or changed, when and by what, oldest first; as far back as
allowlist.log goes. A line that is damaged is named, and the exit code is then 1.
Nothing is changed, and the node may be running.`,
		Example: "  parley journal changes /var/lib/parley/journal",
		Args:    oneAtMost("DIR"),

		ValidArgsFunction: completeFirst(directories),
	}
	return answers(cmd, func(cmd *cobra.Command, args []string) (*allChanges, error) {
		dir, err := journalOf(cmd, args)
		if err != nil {
			return nil, err
		}
		return readChanges(dir)
	}, printChanges)
}

// readChanges reads what is written; what is damaged is the error, and the rest comes
// with it.
func readChanges(dir string) (*allChanges, error) {
	all := &allChanges{Changes: []change{}}
	var damaged error
	for e, err := range audit.Read(dir) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("no change of an allow list is written down in %s: give the Config.Dir of a handler: %w", dir, err)
		case errors.Is(err, audit.ErrDamaged):
			damaged = errors.Join(damaged, err)
			continue
		case err != nil:
			return all, err
		}
		c := change{Time: e.Time.UTC(), What: string(e.What), By: e.By, Member: asMember(e.Member)}
		if e.Was != nil {
			was := asMember(*e.Was)
			c.Was = &was
		}
		all.Changes = append(all.Changes, c)
	}
	return all, damaged
}

func asMember(m allowlist.Member) member {
	return member{m.ID.String(), m.Name, append([]string{}, m.Addresses...), append([]netip.Prefix{}, m.From...), m.Limits}
}

func printChanges(out io.Writer, all *allChanges) error {
	var failed error
	print := func(format string, words ...any) {
		if _, err := fmt.Fprintf(out, format, words...); err != nil {
			failed = err
		}
	}
	for _, c := range all.Changes {
		print("%s  %-7s  %s, by %s\n", c.Time.Format(time.RFC3339), c.What, c.Member.text(), c.By)
		if c.Was != nil {
			print("%-20s  %-7s  %s\n", "", "was", c.Was.text())
		}
	}
	return failed
}

// text is a member with all that the list says of it.
func (m member) text() string {
	text := m.ID
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
