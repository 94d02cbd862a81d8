package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options says how a journal is opened. The zero value of a field means its
// default.
type Options struct {
	// Owner is the peer ID that the journal belongs to. It is stored when the
	// journal is created; opening it for another is refused with ErrOwner.
	Owner string
	// CacheBytes is how many bytes of payloads are held in memory once stored,
	// and how many more while they arrive; default 8 MiB.
	CacheBytes int64
	// MinFree is how many bytes of free disk Low demands; default 256 MiB.
	MinFree uint64
	// Logger hears what is cut and what fails; default slog.Default.
	Logger *slog.Logger
	// FS is for tests; default the disk.
	FS vfs.FS
}

const (
	defaultCacheBytes = 8 << 20 // Options.CacheBytes
	// defaultMinFree bounds what the disk is filled to, in bytes that stay free.
	// Below it nothing new is accepted.
	defaultMinFree = 256 << 20

	lockFile    = "LOCK"
	recordsDir  = "records"  // Pebble's files
	payloadsDir = "payloads" // those of payloads too large for a batch
)

// Open opens the journal in dir, or creates it; with an empty dir it is kept in
// memory, and lost when it is closed. Errors match ErrLocked, ErrOwner,
// ErrVersion, ErrDamaged or ErrFailed, or are the file system's.
func Open(dir string, o Options) (*Journal, error) {
	o = o.withDefaults()
	j := &Journal{dir: dir, fs: o.FS, minFree: o.MinFree, cache: newCache(o.CacheBytes), failure: newFailure()}
	j.batches.New = func() any { return &Batch{journal: j} }
	if err := j.openStore(o); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.load(o); err != nil {
		return nil, fmt.Errorf("open journal: %w", errors.Join(err, j.closeStore()))
	}
	return j, nil
}

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

func (j *Journal) openStore(o Options) error {
	if j.dir == "" {
		j.fs = vfs.NewMem()
		j.store = newMemoryStore()
		b := j.store.begin()
		b.set(headerRow, nil, []byte(o.Owner))
		return b.commit(true)
	}
	var err error
	if j.dir, err = realDir(j.dir, o.FS); err != nil {
		return err
	}
	guard := &guard{FS: o.FS, failure: j.failure, inspector: &inspector{log: o.Logger}}
	j.fs = guard
	if err := j.openRecords(guard, o); err != nil {
		return errors.Join(err, guard.unlock())
	}
	return nil
}

// realDir gives a directory on disk its one name: locks within one process go
// by names.
func realDir(dir string, files vfs.FS) (string, error) {
	if files != vfs.Default {
		return dir, nil
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(absolute); err == nil {
		return real, nil
	}
	return absolute, nil
}

// openRecords locks the directory and opens the database in it. A new one is
// made under another name, and gets its own when it is complete: a crash
// before leaves no journal, rather than half of one.
func (j *Journal) openRecords(guard *guard, o Options) error {
	if err := makeDir(guard, j.dir); err != nil {
		return err
	}
	if _, err := guard.Lock(guard.PathJoin(j.dir, lockFile)); err != nil {
		return err
	}
	records := guard.PathJoin(j.dir, recordsDir)
	if _, err := guard.Stat(records); errors.Is(err, fs.ErrNotExist) {
		if err := j.create(records, o); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := checkFormat(guard, records); err != nil {
		return err
	}
	store, err := openPebble(records, guard, false, j.failure, o.Logger)
	if err != nil {
		return err
	}
	j.store = store
	return nil
}

// create makes a database that holds its owner. It is opened once before
// anything is written, as Pebble raises a new database to the newest format
// only after it has begun the first log in the oldest. That log is empty, and
// can't be inspected.
func (j *Journal) create(records string, o Options) (err error) {
	guard := &guard{FS: o.FS, failure: j.failure}
	defer func() { err = errors.Join(err, guard.unlock()) }()
	unfinished := records + ".new"
	if err := guard.RemoveAll(unfinished); err != nil {
		return err
	}
	raised, err := openPebble(unfinished, guard, false, j.failure, o.Logger)
	if err != nil {
		return err
	}
	if err := raised.close(); err != nil {
		return err
	}
	store, err := openPebble(unfinished, guard, false, j.failure, o.Logger)
	if err != nil {
		return err
	}
	b := store.begin()
	b.set(headerRow, nil, []byte(o.Owner))
	if err := errors.Join(b.commit(true), store.close()); err != nil {
		return err
	}
	if err := guard.Rename(unfinished, records); err != nil {
		return err
	}
	return syncDir(guard, j.dir)
}

// makeDir makes a directory, and those above it that are missing, durably: each
// new name is synced in the directory that holds it.
func makeDir(files vfs.FS, dir string) error {
	var missing []string
	for at := dir; ; at = files.PathDir(at) {
		if _, err := files.Stat(at); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, at)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, made := range slices.Backward(missing) {
		if err := syncDir(files, files.PathDir(made)); err != nil {
			return err
		}
	}
	return nil
}

// checkFormat reads from a file's name which format the database has, before
// Pebble refuses an unknown one in words that help nobody.
func checkFormat(files vfs.FS, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		marker, ok := strings.CutPrefix(name, "marker.format-version.")
		if !ok {
			continue
		}
		_, version, _ := strings.Cut(marker, ".")
		if format, err := strconv.ParseUint(version, 10, 64); err == nil && format > newestFormat {
			return fmt.Errorf("%w: %s has database format %d, this program knows %d: run the release that wrote it, or a later one",
				ErrVersion, dir, format, newestFormat)
		}
	}
	return nil
}

// load learns whose the journal is and what lies in it.
func (j *Journal) load(o Options) error {
	if err := j.checkOwner(o.Owner); err != nil {
		return err
	}
	files, err := openPayloadFiles(j.fs, j.fs.PathJoin(j.dir, payloadsDir), o.Logger)
	if err != nil {
		return err
	}
	j.files = files
	return j.recoverNumbers()
}

// checkOwner compares the header row with the owner.
func (j *Journal) checkOwner(owner string) error {
	key := []byte{headerRow}
	err := j.row(key, func(stored []byte) error {
		if !bytes.Equal(stored, []byte(owner)) {
			return fmt.Errorf("%w: %s is of %q, not of %q: give this key a directory of its own", ErrOwner, j.dir, stored, owner)
		}
		return nil
	})
	if errors.Is(err, errNoRow) {
		return &DamageError{Where: j.dir, What: rowName(key) + " is missing"}
	}
	return err
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
