package simulate

import (
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/parley-p2p/parley/internal/fsm"
)

// crashPoint is where in a turn the process dies.
type crashPoint int

const (
	nowhere crashPoint = iota
	beforeCommit
	inCommit     // the batch is written and not synced
	afterCommit  // it is synced, and nothing was done
	amidActions  // some was done
	afterActions // calls aren't answered, nothing is delivered
	crashPoints
)

func (p crashPoint) String() string {
	return [...]string{"", "before its commit", "in its commit", "after its commit", "between two actions", "after its actions"}[p]
}

var (
	errCrash = errors.New("crashed")
	errSync  = errors.New("sync failed")
	errDisk  = errors.New("disk failed in the background")
)

// log is the journal on a simulated disk. What is synced stays; of what isn't, a
// power cut leaves any beginning, as the journal promises: batches are whole, and
// none is lost while a later one is kept.
type log struct {
	n        *node
	records  map[string][]byte // durable; for each exchange and peer, as the machine has it
	payloads map[uint64][]byte // durable; two for each exchange
	unsynced []entry           // for each commit until the next sync
	next     uint64            // payload number
	low      bool              // there is no room for more
	crash    crashPoint        // of this turn
	fail     bool              // this turn's commit fails
	failed   error             // nothing is stored any more
	crashed  bool
	wrote    int // records, in this turn
	before   int // of unsynced, when the turn began
}

// entry is what one commit wrote, or one stream's payload.
type entry struct {
	batch  fsm.Batch
	number uint64
	body   []byte
}

func newLog(n *node) *log {
	return &log{n: n, records: map[string][]byte{}, payloads: map[uint64][]byte{}}
}

func (l *log) Low() bool               { return l.low }
func (l *log) Failed() <-chan struct{} { return nil }
func (l *log) Err() error              { return l.failed }

func (l *log) Commit(b fsm.Batch) error {
	if l.crash == beforeCommit {
		l.crashed = true
		return errCrash
	}
	l.wrote += len(b.Records)
	for _, r := range b.Records {
		l.n.w.stamp(digest(r.Key), digest(r.Value))
	}
	l.unsynced = append(l.unsynced, entry{batch: b})
	if l.crash == inCommit {
		l.crashed = true
		return errCrash
	}
	if l.fail {
		l.failed = errSync
		return errSync
	}
	if b.Sync {
		l.n.w.result.Syncs++
		l.flush(len(l.unsynced))
	}
	return nil
}

// flush makes the first n entries durable.
func (l *log) flush(n int) {
	for _, e := range l.unsynced[:n] {
		if e.number != 0 {
			l.payloads[e.number] = e.body
			continue
		}
		for _, p := range e.batch.Payloads {
			l.payloads[p.Number] = p.Inline
		}
		for _, r := range e.batch.Records {
			if r.Value == nil {
				if _, there := l.records[string(r.Key)]; there && r.Key[0] == 'i' {
					l.n.letGo(r.Key)
				}
				delete(l.records, string(r.Key))
			} else {
				l.records[string(r.Key)] = r.Value
			}
		}
		for _, number := range e.batch.Drop {
			delete(l.payloads, number)
		}
	}
	l.unsynced = slices.Delete(l.unsynced, 0, n)
}

// recorded reads the durable record of a key.
func (l *log) recorded(key []byte) (fsm.Recorded, bool) {
	value, there := l.records[string(key)]
	if !there {
		return fsm.Recorded{}, false
	}
	return fsm.ReadRecord(key, value)
}

// unsyncedOf reports whether anything isn't synced of what a dialer has here, as it
// was before this turn.
func (l *log) unsyncedOf(dialer fsm.Peer) bool {
	for _, e := range l.unsynced[:min(l.before, len(l.unsynced))] {
		for _, r := range e.batch.Records {
			if fsm.OfResponder(r.Key, dialer) {
				return true
			}
		}
	}
	return false
}

// hasEnded reports whether it is durable that an exchange of a peer is over.
func (l *log) hasEnded(dialer fsm.Peer, epoch, seq uint64) bool {
	restorer := fsm.Restore(l.n.config)
	if err := l.replay(restorer.Record); err != nil {
		return false
	}
	return restorer.Done(l.n.clock()).HasEnded(dialer, epoch, seq)
}

// stop ends a run of the process: what was written stays, unless the power fails.
func (l *log) stop(power bool, s spot) {
	kept := len(l.unsynced)
	if power {
		kept = l.n.w.dice.oneOf(s.as(latency), kept+1)
	}
	l.flush(kept)
	l.unsynced = nil
	l.crash, l.crashed, l.fail, l.failed, l.low = nowhere, false, false, nil, false
}

// copied is a copy of what is durable.
func (l *log) copied() *log {
	return &log{records: maps.Clone(l.records), payloads: maps.Clone(l.payloads), next: l.next}
}

// set makes a copy from before, or an empty one, the journal.
func (l *log) set(old *log) {
	l.records, l.payloads = maps.Clone(old.records), maps.Clone(old.payloads)
}

func (l *log) replay(record func(key, value []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(l.records)) {
		if err := record([]byte(k), l.records[k]); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes what no record names, but so many at most, and returns what is named
// and missing, and how many are left.
func (l *log) sweep(named iter.Seq[uint64], most int) (missing []uint64, left int) {
	kept := map[uint64]bool{}
	for number := range named {
		kept[number] = true
		if _, found := l.payloads[number]; !found {
			missing = append(missing, number)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(l.payloads)) {
		switch {
		case kept[number]:
		case most == 0:
			left++
		default:
			most--
			delete(l.payloads, number)
		}
	}
	return missing, left
}

// numbers are those of all payloads.
func (l *log) numbers() (map[uint64]struct{}, error) {
	all := map[uint64]struct{}{}
	for number := range l.payloads {
		all[number] = struct{}{}
	}
	return all, nil
}

// number is a fresh payload number.
func (l *log) number() uint64 {
	l.next++
	return l.next
}

// payload is a stored payload, synced or not.
func (l *log) payload(number uint64) ([]byte, bool) {
	if p, found := l.payloads[number]; found {
		return p, true
	}
	for i := len(l.unsynced) - 1; i >= 0; i-- {
		if e := l.unsynced[i]; e.number == number {
			return e.body, true
		}
		for _, p := range l.unsynced[i].batch.Payloads {
			if p.Number == number {
				return p.Inline, true
			}
		}
	}
	return nil, false
}

// ownFile is from which size a payload has a file of its own, which is synced by
// itself.
const ownFile = 1 << 20

// large stores a payload that comes by itself, as the stream's goroutine does: in
// the log, unsynced, or in a file.
func (l *log) large(number uint64, size int64, body []byte) {
	if size >= ownFile {
		l.payloads[number] = body
		return
	}
	l.unsynced = append(l.unsynced, entry{number: number, body: body})
}
