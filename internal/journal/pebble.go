package journal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleStore keeps rows in a Pebble database.
type pebbleStore struct {
	db      *pebble.DB
	failure *failure
	backlog *backlog
}

func (s *pebbleStore) get(key []byte, use func(sealed []byte) error) error {
	sealed, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return errNoRow
	}
	if err != nil {
		return damage(rowName(key), err)
	}
	defer closer.Close()
	return use(sealed)
}

func (s *pebbleStore) scan(kind byte, fn func(key, sealed []byte) error) (err error) {
	rows, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return damage(rowName([]byte{kind}), err)
	}
	defer func() {
		if closing := rows.Close(); err == nil {
			err = damage(rowName([]byte{kind}), closing)
		}
	}()
	last := []byte{kind}
	for rows.First(); rows.Valid(); rows.Next() {
		sealed, err := rows.ValueAndErr()
		if err != nil {
			return damage(rowName(rows.Key()), err)
		}
		if err := fn(rows.Key(), sealed); err != nil {
			return err
		}
		last = append(last[:0], rows.Key()...)
	}
	if err := rows.Error(); err != nil {
		return damage("after "+rowName(last), err)
	}
	return nil
}

func (s *pebbleStore) size() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// close closes the database, and doesn't wait for one that has failed.
func (s *pebbleStore) close() error {
	if s.failure.check() != nil {
		go abandon(s.db) // one for each handler
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }() // one for each handler
	select {
	case err := <-closed:
		return errors.Join(err, s.failure.check())
	case <-s.failure.ch: // a flush that Close waits for has failed
		return s.failure.check()
	}
}

// abandon closes a failed database as far as it can be closed. Where its locks
// are held for ever, or a goroutine is gone that Close waits for, it and its
// open files are left behind until the process ends. It can't write any more.
func abandon(db *pebble.DB) {
	defer func() { _ = recover() }() // nothing that it says matters now
	_ = db.Close()
}

func (s *pebbleStore) begin() changes { return &pebbleChanges{store: s, batch: s.db.NewBatch()} }

// pebbleChanges writes rows straight into the bytes that go to the log.
type pebbleChanges struct {
	store *pebbleStore
	batch *pebble.Batch
}

func (c *pebbleChanges) set(kind byte, key, value []byte) {
	row := c.batch.SetDeferred(1+len(key), len(value)+sealSize)
	row.Key[0] = kind
	copy(row.Key[1:], key)
	seal(row.Value, row.Key, value)
	_ = row.Finish() // fails for indexed batches alone
}

func (c *pebbleChanges) delete(kind byte, key []byte) {
	row := c.batch.DeleteDeferred(1 + len(key))
	row.Key[0] = kind
	copy(row.Key[1:], key)
	_ = row.Finish()
}

// syncMark stands in the log where there was nothing but a sync to be written.
var syncMark = []byte("sync")

// commit writes the batch to the log, and waits for it to be synced if asked.
//
// Pebble's Apply reports no error: it calls Fatalf and returns nil. So the
// write and the wait are two steps, with a look at the failure after each;
// after one, SyncWait could wait for ever, and of a log that can't be written
// Pebble isn't told. Should it panic, with locks held, that too is a failure, and
// from then on the database isn't touched. The batch is then left to the garbage
// collector, for Pebble may still use it.
func (c *pebbleChanges) commit(sync bool) (err error) {
	f := c.store.failure
	defer func() {
		if r := recover(); r != nil {
			err = f.latch(fmt.Errorf("write-ahead log: %v", r))
		}
	}()
	c.store.backlog.wait()
	if err := f.check(); err != nil {
		return err
	}
	if sync && c.batch.Empty() {
		// Pebble skips an empty batch, and with it the sync that the caller
		// waits for: of what was committed before.
		if err := c.batch.LogData(syncMark, nil); err != nil {
			return f.latch(err)
		}
	}
	if sync {
		err = c.store.db.ApplyNoSyncWait(c.batch, pebble.Sync)
	} else {
		err = c.store.db.Apply(c.batch, pebble.NoSync)
	}
	if err != nil {
		return f.latch(err)
	}
	if err := f.check(); err != nil {
		return err
	}
	if sync {
		if err := c.batch.SyncWait(); err != nil {
			return f.latch(err)
		}
		// The log doesn't tell Pebble of a sync that failed.
		if err := f.check(); err != nil {
			return err
		}
	}
	return c.batch.Close()
}

func (c *pebbleChanges) discard() { _ = c.batch.Close() } // fails when closed twice alone
