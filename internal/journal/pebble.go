package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// How Pebble is set up. A journal is written far more than it is read: most
// rows are deleted before they ever leave the log's memory table.
const (
	// memTableSize is also about how long a log grows, and so how much is
	// replayed at a start. It must be more than twice the largest batch that
	// is common: a larger one is flushed to a table at once.
	memTableSize = 4 << 20

	// maxMemTables may wait to be flushed before a commit has to wait too; see
	// backlog.
	maxMemTables = 8

	// blockCacheSize is small, as payloads have a cache of their own and
	// records are read once, at the start.
	blockCacheSize = 1 << 20

	// openTables is how many tables are kept open: the whole journal seldom
	// has more than ten.
	openTables = 64

	// manifestSize limits what is read at a start to learn of the tables.
	manifestSize = 1 << 20
)

// pebbleStore keeps rows in a Pebble database.
type pebbleStore struct {
	db      *pebble.DB
	failure *failure
	backlog *backlog
}

// openPebble opens the database in dir. An error is one of this package's or
// the file system's.
func openPebble(dir string, fs *guard, readOnly bool, f *failure, log *slog.Logger) (*pebbleStore, error) {
	waiting := &backlog{failed: f.ch}
	opts := pebbleOptions(fs, f, waiting, log)
	opts.ReadOnly = readOnly
	type opened struct {
		db  *pebble.DB
		err error
	}
	result := make(chan opened, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- opened{err: &DamageError{Where: dir, What: fmt.Sprint(r)}}
			}
		}()
		db, err := pebble.Open(dir, opts)
		result <- opened{db, err}
	}()
	select {
	case r := <-result:
		if r.err == nil {
			return &pebbleStore{db: r.db, failure: f, backlog: waiting}, nil
		}
		if err := f.check(); err != nil {
			return nil, err
		}
		return nil, damage(dir, r.err)
	case <-f.ch:
		// Pebble waits for ever for a flush that the disk refused.
		go func() {
			if r := <-result; r.db != nil {
				abandon(r.db)
			}
		}()
		return nil, f.check()
	}
}

func pebbleOptions(fs *guard, f *failure, waiting *backlog, log *slog.Logger) *pebble.Options {
	opts := &pebble.Options{
		FS:     fs,
		Logger: pebbleLog{f, log},
		EventListener: &pebble.EventListener{
			// A flush or a compaction that fails is tried again at once, and
			// for ever: its goroutine, which is Pebble's own, ends here.
			BackgroundError: func(err error) {
				f.latch(damage("in the background", err))
				runtime.Goexit()
			},
			WALCreated: func(info pebble.WALCreateInfo) { waiting.grow() },
			FlushEnd: func(info pebble.FlushInfo) {
				if info.Err == nil {
					waiting.shrink(info.Input)
				}
			},
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				log.Error("journal is damaged", "file", info.Path, "error", info.Details)
			},
		},
		// The newest format has log chunks which say how far the log was
		// synced before them; see log_check.go.
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          blockCacheSize,
		MaxOpenFiles:       openTables,
		// A goroutine would gather statistics of tables, even while a failing
		// Open takes down what it works on, which ends the process.
		DisableTableStats:           true,
		MaxManifestFileSize:         manifestSize,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 8 * maxMemTables, // never reached
		// Few and small tables: merged early, so that deleted rows go away.
		L0CompactionThreshold: 2,
		L0StopWritesThreshold: 1000, // a commit never waits for a compaction
		LBaseMaxBytes:         16 << 20,
		// Tables are written in the background: spread their writing, so that
		// the log's next sync doesn't find the disk busy with all of it.
		BytesPerSync: 512 << 10,
		// The log needs no such spreading: nearly every batch is synced.
		WALBytesPerSync: 0,
	}
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		// What peers send is often compressed or random, and soon deleted.
		return pebble.UniformDBCompressionSettings(block.NoCompression)
	})
	return opts
}

// pebbleLog passes on what Pebble has to say. Pebble expects Fatalf to end the
// process: here it fails the journal, and guard stops everything after it.
type pebbleLog struct {
	failure *failure
	log     *slog.Logger
}

func (l pebbleLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.failure.latch(fmt.Errorf(format, args...))
}

// damage gives Pebble's errors of broken files this package's type.
func damage(where string, err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return &DamageError{Where: where, What: "a file can't be read", Err: err}
	}
	return err
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
		go abandon(s.db)
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }()
	select {
	case err := <-closed:
		return err
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

// commit writes the batch to the log, and waits for it to be synced if asked.
//
// Pebble's Apply reports no error: it calls Fatalf and returns nil. So the
// write and the wait are two steps, with a look at the failure between them;
// after one, SyncWait could wait for ever. A log that can't be written or
// renewed panics, with locks held: that too is a failure, and from then on the
// database isn't touched. The batch is then left to the garbage collector, for
// Pebble may still use it.
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
	}
	return c.batch.Close()
}

func (c *pebbleChanges) discard() { _ = c.batch.Close() } // fails when closed twice alone

// newestFormat is the database format that this release of Pebble writes.
const newestFormat = uint64(pebble.FormatNewest)
