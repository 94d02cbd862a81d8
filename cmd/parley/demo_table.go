package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// tableDisplay draws over what it drew before.
type tableDisplay struct {
	out       io.Writer
	options   demoOptions
	gathering *gathering
	began     time.Time
	size      func() (width, height int) // of the terminal, in cells
	drawn     int                        // lines
}

const (
	barWidth   = 16
	tableFrame = 8 // lines on the screen besides members
)

func (d *tableDisplay) interval() time.Duration { return drawInterval }

func (d *tableDisplay) progress(v *view) error {
	width, height := d.size()
	// A line that wraps, or a table taller than the screen, couldn't be drawn over.
	cut := lipgloss.NewStyle().MaxWidth(width)
	lines := d.lines(v, max(1, height-tableFrame))
	var text strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", d.drawn) // up, to the table's first line
	}
	for _, line := range lines {
		text.WriteString(cut.Render(line) + "\x1b[K\n") // and clear what the line before it left
	}
	d.drawn = len(lines)
	_, err := io.WriteString(d.out, text.String())
	return err
}

func (d *tableDisplay) lines(v *view, rows int) []string {
	lines := []string{
		strong.Render(headline(d.options, d.gathering.Programs)) + faint.Render(fmt.Sprintf("  %.1f s", time.Since(d.began).Seconds())),
		"",
		faint.Render(fmt.Sprintf("  %-11s  %-*s  %6s %7s %7s %7s %7s", "member", barWidth+8, "signed", "asked", "served", "resends", "redials", "crashes")),
	}
	shown := v.members[:min(len(v.members), rows)]
	for n := range shown {
		m := &shown[n]
		lines = append(lines, fmt.Sprintf("%s %-11s  %s %7s  %6d %7d %7d %7d %7d",
			mark(m), d.gathering.Members[n].Short(), d.bar(m), fmt.Sprintf("%d/%d", m.Signatures, d.options.transactions),
			m.Answered, m.Served, m.Resends(), m.Redials(), m.crashes))
	}
	if hidden := len(v.members) - len(shown); hidden > 0 {
		lines = append(lines, faint.Render(fmt.Sprintf("  … and %d more", hidden)))
	}
	t := total(v.members)
	lines = append(lines, "", fmt.Sprintf("  signed by all %d/%d   exchanges %d   resends %d   redials %d   crashes %d",
		t.signed, d.options.transactions, t.exchanges, t.resends, t.redials, t.crashes))
	if d.options.chaos {
		lines = append(lines, "  "+v.troubles())
	}
	return lines
}

func mark(m *memberView) string {
	switch {
	case m.Done:
		return good.Render("✓")
	case !m.heard:
		return faint.Render("·")
	}
	return "▸"
}

// bar shows a member's transactions: signed by all, by it alone, all nonces
// known, and the rest.
func (d *tableDisplay) bar(m *memberView) string {
	cells := func(count int) int { return count * barWidth / d.options.transactions }
	signed := cells(m.Signatures)
	partial := max(signed, cells(m.Partials))
	nonces := max(partial, cells(m.Nonces))
	return good.Render(strings.Repeat("█", signed)) +
		begun.Render(strings.Repeat("▓", partial-signed)) +
		ready.Render(strings.Repeat("▒", nonces-partial)) +
		faint.Render(strings.Repeat("░", barWidth-nonces))
}

func (d *tableDisplay) result(r *result) error { return writeResult(d.out, r) }
