package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// How Pebble is set up. A journal is written far more than it is read: most
// rows are deleted before they ever leave the log's memory table.
const (
	// memTableSize bounds a memory table, in bytes, and with it a log, and so how
	// much is replayed at a start. It must be more than twice the largest batch
	// that is common: a larger one is flushed to a table at once.
	memTableSize = 16 << 20

	// maxMemTables bounds the memory tables that wait to be flushed, and so the logs.
	// Beyond it commits wait; see backlog.
	maxMemTables = 8

	// blockCacheSize bounds the bytes of tables held in memory: few, as payloads have
	// a cache of their own and records are read once, at the start.
	blockCacheSize = 1 << 20

	// openTables bounds the tables that are kept open. Further ones are opened when
	// they are read: the whole journal seldom has more than ten.
	openTables = 64

	// manifestSize bounds the bytes read at a start to learn of the tables: beyond it
	// a new manifest is begun.
	manifestSize = 1 << 20
)

// newestFormat is the database format that this release of Pebble writes.
const newestFormat = uint64(pebble.FormatNewest)

// openPebble opens the database in dir. An error is one of this package's or
// the file system's.
func openPebble(dir string, fs *guard, readOnly bool, f *failure, log *slog.Logger) (*pebbleStore, error) {
	waiting := &backlog{failed: f.ch}
	opts := pebbleOptions(fs, f, waiting, log)
	opts.ReadOnly = readOnly
	merging := &compactions{}
	opts.Experimental.CompactionScheduler = merging
	type opened struct {
		db  *pebble.DB
		err error
	}
	result := make(chan opened, 1)
	go func() { // one for each handler
		defer func() {
			if r := recover(); r != nil {
				result <- opened{err: &DamageError{Where: dir, What: fmt.Sprint(r)}}
			}
		}()
		db, err := pebble.Open(dir, opts)
		if err == nil {
			merging.begin()
		}
		result <- opened{db, err}
	}()
	select {
	case r := <-result:
		if err := f.check(); err != nil && r.err == nil {
			go abandon(r.db) // one for each handler
			return nil, err
		}
		if r.err == nil {
			return &pebbleStore{db: r.db, failure: f, backlog: waiting}, nil
		}
		if err := f.check(); err != nil {
			return nil, err
		}
		return nil, damage(dir, r.err)
	case <-f.ch:
		// Pebble waits for ever for a flush that the disk refused.
		go func() { // one for each handler
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

// damage gives Pebble's errors of broken files this package's type. That of a table
// of another size has words alone.
func damage(where string, err error) error {
	if err == nil || errors.Is(err, ErrDamaged) {
		return err
	}
	if pebble.IsCorruptionError(err) || strings.Contains(err.Error(), "object size mismatch") {
		return &DamageError{Where: where, What: "a file can't be read", Err: err}
	}
	return err
}
