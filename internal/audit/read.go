package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/durable"
)

// Bounds of what is read, so that a file put in the place of one of ours doesn't
// fill the memory. A larger file is ErrDamaged.
const (
	// maxRead bounds the bytes read of a log: a line may go beyond MaxFile by itself.
	maxRead = 2 * MaxFile
	// maxKnown bounds the bytes read of allowlist.known: it has room for
	// allowlist.MaxMembers with all that they may have.
	maxKnown = 256 << 20
)

// Read reads what is written in the log of a directory, oldest first, also while
// it is written. A line that is damaged gives an error which matches
// [ErrDamaged], and the next ones follow; with any other error it ends. Where
// there is no log it matches [io/fs.ErrNotExist].
func Read(dir string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		// The newer one first: when a file becomes full in between, it is read
		// twice, and not left out.
		newer, err := readFile(filepath.Join(dir, logName), maxRead)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		older, err := readFile(filepath.Join(dir, olderName), maxRead)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(Entry{}, err)
			return
		}
		last := uint64(0)
		for _, log := range []struct {
			name    string
			content []byte
		}{{olderName, older}, {logName, newer}} {
			for number, content := range wholeLines(log.content) {
				e, err := decode(content)
				if err != nil {
					err = fmt.Errorf("%s:%d: %w", filepath.Join(dir, log.name), number, err)
				} else if e.Number <= last {
					continue
				}
				last = max(last, e.Number)
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// readFile reads a file of at most that many bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s: %w: it is larger than %d bytes", path, ErrDamaged, most)
	}
	return content, err
}

// wholeLines gives the lines that have an end, with their numbers from 1.
func wholeLines(content []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		number := 0
		for line := range bytes.Lines(content) {
			number++
			if !bytes.HasSuffix(line, []byte("\n")) || !yield(number, line) {
				return
			}
		}
	}
}

// header is the first line of allowlist.known; the members follow.
type header struct {
	Through uint64 `json:"through"` // the number of the last line whose change is in it; 0: all lines were damaged
	Members int    `json:"members"`
}

const unread = math.MaxUint64 // instead of a number: the first line is missing or says none

// recall learns what the log knows: allowlist.known, then the lines behind it.
func (l *Log) recall() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	content, err := readFile(l.path(knownName), maxKnown)
	if err == nil {
		err = l.learnMembers(content)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	through := l.written
	for _, name := range []string{olderName, logName} {
		content, err := readFile(l.path(name), maxRead)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.size = 0
		for _, line := range wholeLines(content) {
			l.size += int64(len(line))
			// What a damaged line said is found as a difference.
			if e, err := decode(line); err == nil && e.Number > through {
				l.learn(e)
			}
		}
	}
	return nil
}

// learnMembers reads allowlist.known.
func (l *Log) learnMembers(content []byte) error {
	head := header{Through: unread}
	count := -1
	for _, line := range wholeLines(content) {
		var m member
		var err error
		if count++; count == 0 {
			err = json.Unmarshal(line, &head)
		} else if err = json.Unmarshal(line, &m); err == nil {
			l.known[m.Peer] = m.of(m.Peer)
		}
		if err != nil {
			return l.damaged(err)
		}
	}
	switch {
	case head.Through == unread:
		return l.damaged(errors.New("its first line doesn't say up to which line of the log it goes"))
	case head.Through > maxNumber || head.Through == 0 && count > 0 || count != head.Members || len(l.known) != count:
		return l.damaged(fmt.Errorf("it has %d members and should have %d, as of line %d", len(l.known), head.Members, head.Through))
	}
	l.last, l.written = head.Through, head.Through
	return nil
}

func (l *Log) damaged(err error) error {
	return fmt.Errorf("%s: %w, delete it, and all members are written down as added: %w", l.path(knownName), ErrDamaged, err)
}

// remember writes allowlist.known.
func (l *Log) remember() error {
	content, err := encodeLine(header{l.written, len(l.known)})
	if err != nil {
		return err
	}
	ids := make([]identity.ID, 0, len(l.known))
	for id := range l.known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, identity.ID.Compare)
	for _, id := range ids {
		line, err := encodeLine(member{id, detailsOf(l.known[id])})
		if err != nil {
			return err
		}
		content = append(content, line...)
	}
	return durable.Replace(l.path(knownName), content, 0o600)
}
