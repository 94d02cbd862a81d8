package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// ledger is what a client has written, by exchange.
type ledger struct {
	jobs    map[string]string   // of exchanges, as asked
	firsts  map[string]int      // how often an event came that wasn't marked
	effects map[string][]string // what each was
	done    map[string]bool
}

// readLedger reads a ledger, and sees to it that nothing came of which its client was
// done.
func readLedger(t *testing.T, path string) ledger {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := ledger{map[string]string{}, map[string]int{}, map[string][]string{}, map[string]bool{}}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(parts) != 3 {
			t.Fatalf("%s has the line %q", path, line)
		}
		word, id, text := parts[0], parts[1], parts[2]
		switch word {
		case "asked":
			l.jobs[id] = text
		case "first", "again":
			if l.done[id] {
				t.Errorf("%s: %s came after the client was done with it", path, id)
			}
			if word == "first" {
				l.firsts[id]++
			}
		case "effect":
			l.effects[id] = append(l.effects[id], text)
		case "done":
			l.done[id] = true
		default:
			t.Fatalf("%s has the line %q", path, line)
		}
	}
	for id, times := range l.firsts {
		if times > 1 {
			t.Errorf("%s: %s came %d times without a mark", path, id, times)
		}
	}
	return l
}

// audit compares the ledgers of all pairs.
func (c *couple) audit() {
	c.t.Helper()
	for _, p := range c.pairs {
		asked, answered := readLedger(c.t, p.asked), readLedger(c.t, p.answering)
		jobs := map[string]int{}
		for id, job := range asked.jobs {
			jobs[job]++
			want := "done: " + job
			if got := asked.effects[id]; len(got) != 1 || got[0] != "answered "+want || !asked.done[id] {
				c.t.Errorf("%q had the effects %q where it was asked", job, got)
			}
			if got := answered.effects[id]; len(got) != 1 || got[0] != want {
				c.t.Errorf("%q had the effects %q where it was answered", job, got)
			}
		}
		for n := range p.jobs {
			if job := fmt.Sprint(p.lane, " ", n+1); jobs[job] != 1 {
				c.t.Errorf("%q was asked under %d IDs", job, jobs[job])
			}
		}
		if len(asked.effects) != p.jobs || len(answered.effects) != p.jobs {
			c.t.Errorf("%s: effects of %d and %d exchanges, want %d", p.lane, len(asked.effects), len(answered.effects), p.jobs)
		}
	}
}
