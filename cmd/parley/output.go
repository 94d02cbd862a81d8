package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// table prints rows under a head; without rows it says what there is none of.
func table(out io.Writer, none string, head string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, none)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, line(row, "\t"))
	}
	return w.Flush()
}

// line is a row of a table.
func line(row []string, between string) string {
	var cells []string
	for _, cell := range row {
		cells = append(cells, harmless(cell))
	}
	return strings.Join(cells, between)
}

// harmless is a text that a peer may have chosen, without what a terminal would obey.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// ago is how long ago something was, or how long it is still to come.
func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	if d := time.Since(t.AsTime()).Round(time.Second); d >= 0 {
		return d.String() + " ago"
	}
	return "in " + time.Until(t.AsTime()).Round(time.Second).String()
}

// or is a text, or another where it is empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// tag is an exchange's digits, of which the beginning is enough to name it.
func tag(id string) string {
	_, digits, _ := strings.Cut(id, "/")
	return digits[:min(len(digits), 12)]
}
