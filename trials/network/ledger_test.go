package network

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/parley-p2p/parley"
)

// ledger is a node's own durable state: lines of a word, an exchange and more.
// What is true of an exchange and what it brought about are one line, so that a
// crash leaves both or neither.
type ledger struct {
	file  *os.File
	known map[string]bool
	lines [][3]string
}

// Words of a ledger.
const (
	asked      = "asked"      // a request was made: of whom, and which
	gotReply   = "got-reply"  // for the first time, as the handler has it
	gotReply2  = "got-reply2" // or again
	replied    = "replied"    // the effect of a reply
	committed  = "committed"
	gotAsked   = "got-asked"  // a request of a peer, for the first time, as the handler has it
	gotAsked2  = "got-asked2" // or again
	served     = "served"     // the effect of a request
	answered   = "answered"
	alarmed    = "alarmed" // an event for an operator: which
	noExchange = "-"
)

func openLedger(dir string) (*ledger, error) {
	file, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	lines, whole, err := readLedger(dir)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Truncate(whole); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	l := &ledger{file: file, known: map[string]bool{}, lines: lines}
	for _, entry := range lines {
		l.known[entry[0]+entry[1]] = true
	}
	return l, nil
}

// readLedger reads the lines that are whole: a torn one never was.
func readLedger(dir string) (lines [][3]string, whole int64, err error) {
	content, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, 0, err
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	for text := range strings.Lines(string(content)) {
		entry := strings.SplitN(strings.TrimSuffix(text, "\n"), "\t", 3)
		if len(entry) != 3 {
			return nil, 0, fmt.Errorf("line %q of a ledger", text)
		}
		lines = append(lines, [3]string(entry))
	}
	return lines, int64(len(content)), nil
}

func (l *ledger) has(what string, id parley.ID) bool { return l.known[what+id.String()] }

func (l *ledger) note(what, about, more string) error {
	l.known[what+about] = true
	_, err := fmt.Fprintf(l.file, "%s\t%s\t%s\n", what, about, more)
	return errors.Join(err, l.file.Sync())
}

// take notes that an event came, and has its effect if it hasn't had it.
func (l *ledger) take(e parley.Event, first, again, effect string) error {
	came := first
	if e.Redelivered {
		came = again
	}
	id, text := e.ID.String(), string(bytes.TrimRight(e.Body, " "))
	if err := l.note(came, id, text); err != nil || l.has(effect, e.ID) {
		return err
	}
	return l.note(effect, id, text)
}
