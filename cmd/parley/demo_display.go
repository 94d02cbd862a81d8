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
		return &jsonDisplay{json.NewEncoder(out), began}
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
	text := fmt.Sprintf("A committee of %d signs %d transactions in %d programs", o.nodes, o.transactions, programs)
	if o.crash {
		text = fmt.Sprintf("A committee of %d signs %d transactions, killed %d times each", o.nodes, o.transactions, killsPerMember)
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

func (d *lineDisplay) progress(members []memberView) error {
	if !d.begun {
		d.begun = true
		fmt.Fprintln(d.out, headline(d.options, d.gathering.Programs))
	}
	t := total(members)
	_, err := fmt.Fprintf(d.out, "%5.1fs  signed %d/%d  exchanges %d  resends %d  redials %d  crashes %d\n",
		time.Since(d.began).Seconds(), t.signed, d.options.transactions,
		t.exchanges, t.resends, t.redials, t.crashes)
	return err
}

func (d *lineDisplay) result(r result) error { return writeResult(d.out, r) }

// writeResult is what a person reads at the end.
func writeResult(out io.Writer, r result) error {
	t := total(r.members)
	zero := func(count int) string {
		if count == 0 {
			return good.Render("0")
		}
		return wrong.Render(fmt.Sprint(count))
	}
	signatures := fmt.Sprintf("%d/%d", r.report.Valid, r.report.Wanted)
	if r.report.Valid == r.report.Wanted {
		signatures = good.Render(signatures)
	} else {
		signatures = wrong.Render(signatures)
	}
	rows := []struct{ name, value, remark string }{
		{"exchanges", fmt.Sprint(r.report.Exchanges), fmt.Sprintf("in %.1f s: %.0f a second", r.took.Seconds(), float64(r.report.Exchanges)/r.took.Seconds())},
		{"p50", round(r.report.Median), "from its turn in its lane to its reply"},
		{"p99", round(r.report.Worst), ""},
		{"resends", fmt.Sprint(t.resends), ""},
		{"redials", fmt.Sprint(t.redials), ""},
	}
	if r.options.crash {
		rows = append(rows, []struct{ name, value, remark string }{
			{"members killed", fmt.Sprint(t.crashes), "and started again"},
			{"rounds repeated", fmt.Sprint(r.report.Repeated), "as a crash took a nonce"},
		}...)
	}
	rows = append(rows, []struct{ name, value, remark string }{
		{"lost", zero(r.report.Lost), ""},
		{"effects applied twice", zero(r.report.Twice), ""},
		{"replies changed", zero(r.report.Different), ""},
		{"nonces used twice", zero(r.report.Reused), ""},
		{"signatures valid", signatures, "by BIP-340, of every member"},
	}...)
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

// round shows a duration in milliseconds.
func round(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
