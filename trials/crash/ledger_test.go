package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/parley-p2p/parley"
)

// ledger is an application's durable state: lines of a word, an exchange and more.
// What is true of an exchange and what it brought about are one line, so that a
// crash leaves both or neither. It isn't synced: the process is killed, not the
// machine.
type ledger struct {
	file  *os.File
	lines map[string]string // by word and exchange: more
	count map[string]int    // by word
}

// entry is a line of a ledger.
type entry struct{ word, id, more string }

func openLedger(dir string) (*ledger, []entry, error) {
	file, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	entries, whole, err := readLedger(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := file.Truncate(whole); err != nil { // a torn line never was
		return nil, nil, err
	}
	l := &ledger{file: file, lines: map[string]string{}, count: map[string]int{}}
	for _, e := range entries {
		l.lines[e.word+e.id] = e.more
		l.count[e.word]++
	}
	return l, entries, nil
}

// readLedger returns the lines, and how many bytes they are.
func readLedger(dir string) (entries []entry, whole int64, err error) {
	content, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, 0, err
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	for text := range strings.Lines(string(content)) {
		e := strings.SplitN(strings.TrimSuffix(text, "\n"), "\t", 3)
		entries = append(entries, entry{e[0], e[1], e[2]})
	}
	return entries, int64(len(content)), nil
}

// find returns what a word says of an exchange.
func (l *ledger) find(word string, id parley.ID) (more string, found bool) {
	more, found = l.lines[word+id.String()]
	return more, found
}

func (l *ledger) note(word string, id parley.ID, more string) error {
	l.lines[word+id.String()] = more
	l.count[word]++
	_, err := fmt.Fprintf(l.file, "%s\t%s\t%s\n", word, id, more)
	return err
}

// noteEvent notes that an event came, as new or again.
func (l *ledger) noteEvent(e parley.Event, more string) error {
	if e.PossiblySeen {
		return fmt.Errorf("%s is possibly seen: no journal was lost", e.ID)
	}
	if e.Redelivered {
		return l.note("again", e.ID, more)
	}
	return l.note("first", e.ID, more)
}
