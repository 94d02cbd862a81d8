package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"
)

// newDisplay chooses by what the output is, and what was asked for.
func newDisplay(out io.Writer, o demoOptions, g *gathering) display {
	began := time.Now()
	if o.json {
		return &jsonDisplay{json.NewEncoder(out), o, began}
	}
	terminal := false
	if file, ok := out.(*os.File); ok {
		terminal = term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
	}
	// The writer takes colours away where there is no terminal, or NO_COLOR.
	coloured := colorprofile.NewWriter(out, os.Environ())
	if terminal {
		return &tableDisplay{out: coloured, options: o, gathering: g, began: began, size: func() (int, int) {
			width, height, err := term.GetSize(int(out.(*os.File).Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}}
	}
	return &lineDisplay{out: coloured, options: o, gathering: g, began: began}
}

var (
	strong = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	ready  = lipgloss.NewStyle().Foreground(lipgloss.Blue)
	begun  = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Green)
	wrong  = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
)

// headline says what is done.
func headline(o demoOptions, programs int) string {
	text := fmt.Sprintf("A committee of %d signs %d transactions", o.nodes, o.transactions)
	switch {
	case o.chaos:
		text += fmt.Sprintf(", killed %d times each, cut off, unlisted and attacked", killsPerMember)
	case o.crash:
		text += fmt.Sprintf(", killed %d times each", killsPerMember)
	default:
		text += fmt.Sprintf(" in %d programs", programs)
	}
	return text + fmt.Sprintf(", seed %d", o.seed)
}

// lineDisplay is for logs and pipes.
type lineDisplay struct {
	out       io.Writer
	options   demoOptions
	gathering *gathering
	began     time.Time
	begun     bool
}

func (d *lineDisplay) interval() time.Duration { return lineInterval }

func (d *lineDisplay) progress(v *view) error {
	if !d.begun {
		d.begun = true
		fmt.Fprintln(d.out, headline(d.options, d.gathering.Programs))
	}
	t := total(v.members)
	chaos := ""
	if d.options.chaos {
		chaos = "  " + v.troubles()
	}
	_, err := fmt.Fprintf(d.out, "%5.1fs  signed %d/%d  exchanges %d  resends %d  redials %d  crashes %d%s\n",
		time.Since(d.began).Seconds(), t.signed, d.options.transactions,
		t.exchanges, t.resends, t.redials, t.crashes, chaos)
	return err
}

func (d *lineDisplay) result(r *result) error { return writeResult(d.out, r) }

// row is a line of the result.
type row struct{ name, value, remark string }

// writeResult is what a person reads at the end: what was done to the committee,
// and what came of it.
func writeResult(out io.Writer, r *result) error {
	t := total(r.members)
	rows := []row{
		{"exchanges", fmt.Sprint(r.report.Exchanges), fmt.Sprintf("in %.1f s: %.0f a second", r.took.Seconds(), float64(r.report.Exchanges)/r.took.Seconds())},
		{"p50", round(r.report.Median), "from its turn in its lane to its reply"},
		{"p99", round(r.report.Worst), ""},
		{"resends", fmt.Sprint(t.resends), ""},
		{"redials", fmt.Sprint(t.redials), ""},
	}
	if r.options.crash {
		rows = append(rows,
			row{"members killed", fmt.Sprint(t.crashes), "and started again"},
			row{"rounds repeated", fmt.Sprint(r.report.Repeated), "as a crash took a nonce"})
	}
	if r.options.chaos {
		rows = append(rows, r.chaosRows()...)
	}
	signatures := fmt.Sprintf("%d/%d", r.report.Valid, r.report.Wanted)
	if r.report.Valid == r.report.Wanted {
		signatures = good.Render(signatures)
	} else {
		signatures = wrong.Render(signatures)
	}
	rows = append(rows,
		row{"lost", zero(r.report.Lost), ""},
		row{"effects applied twice", zero(r.report.Twice), ""},
		row{"events given twice", zero(t.broken), "or again without a mark"},
		row{"replies changed", zero(r.report.Different), ""},
		row{"nonces used twice", zero(r.report.Reused), ""},
		row{"signatures valid", signatures, "by BIP-340, of every member"})
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	for _, row := range rows {
		value := lipgloss.PlaceHorizontal(9, lipgloss.Right, row.value)
		if _, err := fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("  %-22s%s  %s", row.name, value, faint.Render(row.remark)), " ")); err != nil {
			return err
		}
	}
	return nil
}

// zero shows a count of what shouldn't be.
func zero(count int) string {
	if count == 0 {
		return good.Render("0")
	}
	return wrong.Render(fmt.Sprint(count))
}

// round shows a duration in milliseconds.
func round(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
