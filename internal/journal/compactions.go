package journal

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// compactions lets Pebble merge tables, one at a time, once its Open has returned.
//
// Pebble's own scheduler begins while Open still runs. When Open then fails, it
// takes down what the compaction reads from, and that ends the process, in a
// goroutine where nobody can recover.
type compactions struct {
	db    pebble.DBForCompaction // set before anything else is called
	free  atomic.Bool            // one may begin
	ended atomic.Bool

	asking sync.Mutex // held while the database is asked what waits
}

// begin lets the first one begin.
func (c *compactions) begin() { c.Done() }

// Register is called in Open.
func (c *compactions) Register(_ int, db pebble.DBForCompaction) { c.db = db }

// TrySchedule is called with the database's locks held. What it refuses waits.
func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if c.ended.Load() || !c.free.CompareAndSwap(true, false) {
		return false, nil
	}
	return true, c
}

// Done lets the next one begin, if any waits.
func (c *compactions) Done() {
	c.free.Store(true)
	c.asking.Lock()
	defer c.asking.Unlock()
	for !c.ended.Load() {
		waits, _ := c.db.GetWaitingCompaction()
		if !waits || !c.free.CompareAndSwap(true, false) || c.db.Schedule(c) {
			return
		}
		// It didn't take it. Another may have been refused meanwhile.
		c.free.Store(true)
	}
}

// Unregister is called first in Close: the database isn't asked any more.
func (c *compactions) Unregister() {
	c.ended.Store(true)
	c.asking.Lock()
	defer c.asking.Unlock()
}

// What other schedulers learn of a compaction; one at a time needs none of it.

func (c *compactions) UpdateGetAllowedWithoutPermission()                {}
func (c *compactions) Started()                                          {}
func (c *compactions) MeasureCPU(pebble.CompactionGoroutineKind)         {}
func (c *compactions) CumulativeStats(pebble.CompactionGrantHandleStats) {}
