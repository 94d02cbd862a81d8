package journal

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Journal keeps records and payloads. Its methods may be called at once.
type Journal struct {
	dir     string
	fs      vfs.FS
	minFree uint64
	store   store
	files   *payloadFiles
	cache   *cache
	failure *failure
	batches sync.Pool // of those not in use: one for each stream, call and turn at most
	closed  atomic.Bool

	arriving atomic.Int64 // bytes of payloads under way in memory, at most the cache's limit

	numbers    sync.Mutex
	next       uint64 // payload number to give
	reservedTo uint64 // numbers below it may be given without a sync
	firstNew   uint64 // numbers from it on are of this run
}

// check returns why the journal can't be used, or nil.
func (j *Journal) check() error {
	if j.closed.Load() {
		return ErrClosed
	}
	return j.failure.check()
}

// Failed is closed when the disk has refused a write, also one in the
// background that no call waits for; Err then says which.
func (j *Journal) Failed() <-chan struct{} { return j.failure.ch }

// Err returns why the journal has failed, or nil. It matches ErrFailed.
func (j *Journal) Err() error { return j.failure.check() }

// Replay calls fn with every record in ascending order of keys, each verified.
// Both slices are valid until fn returns. It ends with fn's first error, or
// with a DamageError at the first record that isn't what was written.
func (j *Journal) Replay(fn func(key, value []byte) error) error {
	if err := j.check(); err != nil {
		return err
	}
	return j.store.scan(recordRow, func(key, sealed []byte) error {
		value, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		return fn(key[1:], value)
	})
}

// row calls use with a row's value; errNoRow when there is none.
func (j *Journal) row(key []byte, use func(value []byte) error) error {
	return j.store.get(key, func(sealed []byte) error {
		value, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		return use(value)
	})
}

// Dir is the journal's directory, empty when it is in memory.
func (j *Journal) Dir() string { return j.dir }

// Low reports whether the disk has less free space than Options.MinFree: time
// to take in no more. It asks the file system each time, which costs up to ten
// microseconds.
func (j *Journal) Low() bool {
	if j.dir == "" || j.check() != nil {
		return false
	}
	usage, err := j.fs.GetDiskUsage(j.dir)
	return err == nil && usage.AvailBytes < j.minFree
}

// Stats are numbers for a person or a monitor.
type Stats struct {
	RecordBytes    uint64 // of records and small payloads, with the log
	PayloadFiles   int    // payloads that have a file of their own
	PayloadBytes   int64  // of their files
	CachedPayloads int
	CachedBytes    int64
	FreeBytes      uint64 // on the disk; 0 in memory
}

// Stats counts what the journal holds. A failed or closed journal has none.
func (j *Journal) Stats() Stats {
	if j.check() != nil {
		return Stats{}
	}
	var s Stats
	s.RecordBytes = j.store.size()
	s.PayloadFiles, s.PayloadBytes = j.files.stats()
	s.CachedPayloads, s.CachedBytes = j.cache.stats()
	if j.dir != "" {
		if usage, err := j.fs.GetDiskUsage(j.dir); err == nil {
			s.FreeBytes = usage.AvailBytes
		}
	}
	return s
}

// Close ends the journal. Nothing else may be called meanwhile. Files that were
// dropped and not unlinked yet are swept at the next start.
func (j *Journal) Close() error {
	if j.closed.Swap(true) {
		return nil
	}
	j.files.removals.Wait()
	return j.closeStore()
}

// closeStore closes the store, then releases the directory.
func (j *Journal) closeStore() error {
	err := j.store.close()
	if guard, ok := j.fs.(*guard); ok {
		err = errors.Join(err, guard.unlock())
	}
	return err
}
