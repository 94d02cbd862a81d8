package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard stands between Pebble and the file system.
//
// It checks every log before Pebble replays it, for Pebble takes some damage
// for the end of the log, and notes how far each was synced. It makes files
// readable by their owner alone. And
// once the journal has failed it changes nothing on disk any more: Pebble means
// a fatal error to end the process, and if that doesn't happen it may go on to
// delete logs whose successor was never written.
type guard struct {
	vfs.FS
	failure   *failure
	inspector *inspector // nil while a database is made

	mu    sync.Mutex
	locks []*fileLock // the journal's, and Pebble's own: two for each handler
}

// Open lets a log be read when it isn't damaged. Of the files that tell how Pebble
// was set up before nothing is read: they hold no rows, the set-up is this program's,
// and damage of them would refuse the journal.
func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if strings.HasPrefix(g.PathBase(name), "OPTIONS-") {
		return vfs.NewMemFile(nil), nil
	}
	if g.inspector != nil {
		if instead, err := g.inspector.inspect(g.FS, name); instead != nil || err != nil {
			return instead, err
		}
	}
	return g.FS.Open(name, opts...)
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.own(name, func() (vfs.File, error) {
		if err := g.settle(name); err != nil {
			return nil, err
		}
		return g.FS.Create(name, category)
	})
}

// settle syncs the directory before a marker comes or goes. A marker's name says
// which manifest counts. Pebble puts the manifest, the new marker and the end of
// the old one into one sync, of which a crash may leave any part: a marker
// without its manifest, or none.
func (g *guard) settle(name string) error {
	if !strings.HasPrefix(g.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(g.FS, g.PathDir(name))
}

func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.own(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.own(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

// own opens a file for writing and takes it into the guard.
//
// Pebble is never told that a log can't be begun: it panics then, while a lock is
// released that its caller releases again, which ends the process. The journal has
// failed instead, and what is still written to the log is lost with it.
func (g *guard) own(name string, open func() (vfs.File, error)) (vfs.File, error) {
	markName, number, isMarked := markFor(g.FS, name)
	if !isMarked {
		file, err := g.openGuarded(name, open)
		if err != nil {
			return nil, err // not a nil pointer that passes for a file
		}
		return file, nil
	}
	_, isLog := logNumber(g.FS, name)
	file, err := g.openMarked(name, open, markName)
	switch {
	case err == nil && isLog:
		file.mark.log = number
		return markedLog{file}, nil
	case err == nil:
		file.mark.log, file.durable = number, true
		return file, nil
	case isLog:
		g.failure.latch(err)
		return vfs.NewMem().Create(g.PathBase(name), vfs.WriteCategoryUnspecified)
	}
	return nil, err
}

// openMarked opens a log or a manifest with its watermark: one beside each; see
// maxMemTables.
func (g *guard) openMarked(name string, open func() (vfs.File, error), markName string) (*markedFile, error) {
	guarded, err := g.openGuarded(name, open)
	if err != nil {
		return nil, err
	}
	file, err := g.OpenReadWrite(markName, vfs.WriteCategoryUnspecified)
	if err != nil {
		guarded.Close()
		return nil, err
	}
	return &markedFile{guardedFile: *guarded, file: file}, nil
}

// openGuarded opens a file that its owner alone can read, and that takes no more
// bytes once the journal has failed.
func (g *guard) openGuarded(name string, open func() (vfs.File, error)) (*guardedFile, error) {
	if err := g.failure.check(); err != nil {
		return nil, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	if f.Fd() != vfs.InvalidFd {
		if err := os.Chmod(name, 0o600); err != nil {
			f.Close()
			return nil, err
		}
	}
	return &guardedFile{File: f, failure: g.failure}, nil
}

// OpenDir takes Pebble's directory into the guard.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	dir, err := g.FS.OpenDir(name)
	if err != nil || !strings.HasPrefix(g.PathBase(name), recordsDir) {
		return dir, err
	}
	return &guardedDir{File: dir, failure: g.failure}, nil
}

func (g *guard) Link(oldname, newname string) error {
	if err := g.failure.check(); err != nil {
		return err
	}
	return g.FS.Link(oldname, newname)
}

func (g *guard) Remove(name string) error {
	if err := g.failure.check(); err != nil {
		return err
	}
	if err := g.settle(name); err != nil {
		return err
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if err := g.failure.check(); err != nil {
		return err
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) Rename(oldname, newname string) error {
	if err := g.failure.check(); err != nil {
		return err
	}
	return g.FS.Rename(oldname, newname)
}

// MkdirAll makes directories that only their owner can look into.
func (g *guard) MkdirAll(dir string, _ fs.FileMode) error {
	if err := g.failure.check(); err != nil {
		return err
	}
	return g.FS.MkdirAll(dir, 0o700)
}

// GetDiskUsage has one error, the one that Pebble doesn't take for a failure in
// the background.
func (g *guard) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := g.FS.GetDiskUsage(path)
	if err != nil {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return usage, nil
}

// Unwrap gives Pebble the file system below.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// Lock turns a lock held elsewhere into ErrLocked.
func (g *guard) Lock(name string) (io.Closer, error) {
	closer, err := g.FS.Lock(name)
	if err != nil {
		if lockHeld(err) {
			return nil, fmt.Errorf("%w: %s: stop the other process, or give this one a directory of its own",
				ErrLocked, g.PathDir(name))
		}
		return nil, err
	}
	if vfs.Root(g.FS) == vfs.Default {
		if err := os.Chmod(name, 0o600); err != nil {
			return nil, errors.Join(err, closer.Close())
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	lock := &fileLock{closer: closer}
	g.locks = append(g.locks, lock)
	return lock, nil
}

// lockHeld tells a lock that someone holds from one that can't be made. Within
// one process the file system has only words for it.
func lockHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK) ||
		err.Error() == "lock held by current process"
}

// unlock releases the directory, also of a database that was abandoned and not
// closed. That is safe: it can't write any more.
func (g *guard) unlock() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, lock := range g.locks {
		errs = append(errs, lock.Close())
	}
	g.locks = nil
	return errors.Join(errs...)
}

// fileLock is released once, whoever comes first.
type fileLock struct {
	once   sync.Once
	closer io.Closer
}

func (l *fileLock) Close() (err error) {
	l.once.Do(func() { err = l.closer.Close() })
	return err
}

// guardedFile takes no more bytes once the journal has failed.
type guardedFile struct {
	vfs.File
	failure *failure
}

func (f *guardedFile) Write(p []byte) (int, error) {
	if err := f.failure.check(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *guardedFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.failure.check(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, offset)
}

func (f *guardedFile) Sync() error {
	if err := f.failure.check(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *guardedFile) SyncTo(length int64) (bool, error) {
	if err := f.failure.check(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

func (f *guardedFile) SyncData() error {
	if err := f.failure.check(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// guardedDir never tells Pebble that a directory can't be synced: it panics
// then, in goroutines where nobody can recover, and the process would end. The
// journal has failed instead, and whatever Pebble does next it does in memory.
type guardedDir struct {
	vfs.File
	failure *failure
}

func (d *guardedDir) Sync() error {
	if d.failure.check() == nil {
		if err := d.File.Sync(); err != nil {
			d.failure.latch(err)
		}
	}
	return nil
}
