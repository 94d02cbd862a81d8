package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const diagramsFile = "../../docs/state-machines.md"

// TestDiagramsShowWhatTheMachinesDo draws every change of state that the tables
// found. What an input is called is cut to what it is; inputs that lead from one
// state to the same other one share an arrow.
func TestDiagramsShowWhatTheMachinesDo(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# The state machines

Drawn by the tests of ` + "`internal/fsm`" + ` from what the code does, with -rewrite. What follows from every input in every state, the frames, records
and events, stands in ` + "`internal/fsm/testdata/*.table`" + `; the rules are in [protocol.md](protocol.md).
`)
	for _, d := range []struct {
		table *table
		title string
		about string
		first string // where an arrow comes in from nowhere
		ends  []string
	}{
		{dialerTable(), "The dialer's side of an exchange", `An exchange that this node made. From any state but the ends, Cancel leads to cancelled, or to cancelling once the request was sent, and a
deadline that passes to expired in the same way; the arrows for both are left out. So are those to suspended (the peer leaves the allow list) and to halted (fenced, rolled back, mismatch).`,
			"queued", []string{"answered", "rejected", "expired", "cancelled"}},
		{responderTable(), "The responder's side of an exchange", `An exchange that a peer made. A tombstone is a number that has ended and of which nothing else is known. A frame of a greater epoch abandons all
that is older; its arrows are left out.`, "unknown", []string{"answered", "abandoned", "tombstone"}},
		{connectionTable(), "The connection with a peer", "Disconnected and dialing are states of the peer, connected and closing of its connection. A violation, in whatever state, closes.", "disconnected", nil},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```mermaid\nstateDiagram-v2\n    direction TB\n", d.title, d.about)
		b.WriteString(diagram(d.table.cells(t), d.first, d.ends))
		b.WriteString("```\n")
	}
	golden(t, diagramsFile, b.String())
}

func diagram(cells []cell, first string, ends []string) string {
	type edge struct{ from, to string }
	labels := map[edge][]string{}
	var edges []edge
	for _, c := range cells {
		e := edge{plain(c.from), c.to}
		if c.outcome == "" || e.from == e.to || leftOut(c) {
			continue
		}
		if labels[e] == nil {
			edges = append(edges, e)
		}
		if label := short(c.input); !slices.Contains(labels[e], label) {
			labels[e] = append(labels[e], label)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "    [*] --> %s\n", identifier(first))
	for _, e := range edges {
		fmt.Fprintf(&b, "    %s --> %s : %s\n", identifier(e.from), identifier(e.to), strings.Join(labels[e], "<br>"))
	}
	for _, end := range ends {
		fmt.Fprintf(&b, "    %s --> [*]\n", identifier(end))
	}
	for _, c := range cells {
		if name := plain(c.from); strings.Contains(name, " ") {
			line := fmt.Sprintf("    %s : %s\n", identifier(name), name)
			if !strings.Contains(b.String(), line) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// leftOut are the arrows that lead from everywhere to one place, which the text
// above a diagram names, and what isn't about the subject.
func leftOut(c cell) bool {
	for _, word := range []string{"deadline", "greater epoch", "another", "disconnection timeout"} {
		if strings.Contains(c.input, word) {
			return true
		}
	}
	return c.to == "suspended" || c.to == "halted" || c.to == "gone" || c.input == "Cancel" ||
		strings.Contains(c.outcome, "violation") || strings.Contains(c.outcome, "tell expired")
}

// short is an input without what doesn't matter to the state.
func short(input string) string {
	for _, detail := range []string{", there", ", old", ", delivered", ", dialled here", ", dialled by the peer", ", broken", ", closed by the peer", ", clean", ", no address", " as before", " to the peer"} {
		input = strings.TrimSuffix(input, detail)
	}
	return strings.TrimPrefix(input, "REQUEST 2 of its lane, ")
}

func identifier(name string) string { return strings.ReplaceAll(name, " ", "_") }
