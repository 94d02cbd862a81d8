package simulate

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/parley-p2p/parley/internal/fsm"
)

// crashPoint is where in a commit the node dies.
type crashPoint int

const (
	beforeCommit crashPoint = iota + 1
	inCommit                // the batch is written and not synced
	afterCommit             // it is synced, and nothing was done
)

var errCrash = errors.New("crashed")

// log is the journal on a simulated disk: what is synced stays, what isn't may be
// lost in a power cut, the last writes first.
type log struct {
	w        *world
	records  map[string][]byte
	payloads map[uint64][]byte
	unsynced []fsm.Batch
	next     uint64 // payload number
	crash    crashPoint
	crashed  bool
	syncs    int
}

func newLog(w *world) *log {
	return &log{w: w, records: map[string][]byte{}, payloads: map[uint64][]byte{}}
}

func (l *log) Low() bool               { return false }
func (l *log) Failed() <-chan struct{} { return nil }
func (l *log) Err() error              { return nil }

func (l *log) Commit(b fsm.Batch) error {
	if l.crash == beforeCommit {
		l.crashed = true
		return errCrash
	}
	for i := range b.Payloads {
		b.Payloads[i].Inline = bytes.Clone(b.Payloads[i].Inline)
	}
	l.unsynced = append(l.unsynced, b)
	if l.crash == inCommit {
		l.crashed = true
		return errCrash
	}
	if b.Sync {
		l.syncs++
		l.flush(len(l.unsynced))
	}
	return nil
}

// flush makes the first n unsynced batches durable.
func (l *log) flush(n int) {
	for _, b := range l.unsynced[:n] {
		for _, p := range b.Payloads {
			l.payloads[p.Number] = p.Inline
		}
		for _, r := range b.Records {
			if r.Value == nil {
				delete(l.records, string(r.Key))
			} else {
				l.records[string(r.Key)] = r.Value
			}
		}
		for _, number := range b.Drop {
			delete(l.payloads, number)
		}
	}
	l.unsynced = slices.Delete(l.unsynced, 0, n)
}

// powerCut keeps some beginning of what wasn't synced, and ends the crash.
func (l *log) powerCut() {
	l.flush(l.w.rng.IntN(len(l.unsynced) + 1))
	l.unsynced = nil
	l.crash, l.crashed = 0, false
}

func (l *log) replay(record func(key, value []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(l.records)) {
		if err := record([]byte(k), l.records[k]); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes what no record names, and returns what is named and missing.
func (l *log) sweep(named iter.Seq[uint64]) (missing []uint64) {
	kept := map[uint64][]byte{}
	for number := range named {
		if p, found := l.payloads[number]; found {
			kept[number] = p
		} else {
			missing = append(missing, number)
		}
	}
	l.payloads = kept
	return missing
}

// number is a fresh payload number.
func (l *log) number() uint64 {
	l.next++
	return l.next
}

// payload is a stored payload, synced or not.
func (l *log) payload(number uint64) ([]byte, bool) {
	for i := len(l.unsynced) - 1; i >= 0; i-- {
		for _, p := range l.unsynced[i].Payloads {
			if p.Number == number {
				return p.Inline, true
			}
		}
	}
	p, found := l.payloads[number]
	return p, found
}

// large stores a payload that came by itself, as the stream's goroutine does.
func (l *log) large(number uint64, body []byte) { l.payloads[number] = body }
