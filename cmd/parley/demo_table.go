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
	height    func() int // of the terminal, in lines
	drawn     int        // lines
}

const (
	barWidth   = 24
	tableFrame = 5 // lines of a table besides its members
)

func (d *tableDisplay) interval() time.Duration { return drawInterval }

func (d *tableDisplay) progress(members []memberView) error {
	lines := d.lines(members)
	var text strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", d.drawn) // up, to the table's first line
	}
	for _, line := range lines {
		text.WriteString(line + "\x1b[K\n") // and clear what the line before it left
	}
	d.drawn = len(lines)
	_, err := io.WriteString(d.out, text.String())
	return err
}

func (d *tableDisplay) lines(members []memberView) []string {
	others := d.options.nodes - 1
	lines := []string{
		strong.Render(headline(d.options, d.gathering.Programs)) + faint.Render(fmt.Sprintf("  %.1f s", time.Since(d.began).Seconds())),
		"",
		faint.Render(fmt.Sprintf("%-14s %7s  %-*s %9s %9s %9s %8s %8s %8s", "member", "keys", barWidth+10, "nonces, partials, signed", "exchanges", "answered", "repeated", "resends", "redials", "crashes")),
	}
	shown := members[:min(len(members), max(1, d.height()-tableFrame-1))]
	for n := range shown {
		m := &members[n]
		mark := faint.Render("·")
		switch {
		case m.Done:
			mark = good.Render("✓")
		case !m.heard:
		default:
			mark = "▸"
		}
		lines = append(lines, fmt.Sprintf("%s %-12s %7s  %s %4d/%-4d %9d %9d %9d %8d %8d %8d",
			mark, d.gathering.Members[n].Short(), fmt.Sprintf("%d/%d", m.Keys, others),
			d.bar(m), m.Signatures, d.options.transactions, m.Answered, m.Served, m.Repeated, m.Resends(), m.Redials(), m.crashes))
	}
	t := total(members)
	if hidden := len(members) - len(shown); hidden > 0 {
		lines = append(lines, faint.Render(fmt.Sprintf("  … and %d more", hidden)))
	}
	return append(lines, "", fmt.Sprintf("  signed by all %d/%d   exchanges %d/%d   resends %d   redials %d   crashes %d",
		t.signed, d.options.transactions, t.exchanges, d.options.nodes*d.gathering.Exchanges(), t.resends, t.redials, t.crashes))
}

// bar shows the transactions of a member, furthest first: signed, its part done,
// its nonces there, neither.
func (d *tableDisplay) bar(m *memberView) string {
	width := func(count int) int { return count * barWidth / d.options.transactions }
	signed, partial, nonce := width(m.Signatures), width(m.Partials), width(m.Nonces)
	partial = max(partial, signed)
	nonce = max(nonce, partial)
	return good.Render(strings.Repeat("█", signed)) +
		lipgloss.NewStyle().Foreground(lipgloss.Yellow).Render(strings.Repeat("▓", partial-signed)) +
		lipgloss.NewStyle().Foreground(lipgloss.Blue).Render(strings.Repeat("▒", nonce-partial)) +
		faint.Render(strings.Repeat("░", barWidth-nonce))
}

func (d *tableDisplay) result(r result) error { return writeResult(d.out, r) }
