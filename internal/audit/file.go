package audit

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/parley-p2p/parley/internal/durable"
)

// The names of the files.
const (
	logName   = "allowlist.log"
	olderName = "allowlist.log.1"
	knownName = "allowlist.known"
)

// file is the log as far as it is written to.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// reopen opens the log behind what is well written in it. Only the node's own
// user may read it.
func (l *Log) reopen() error {
	// One for each handler.
	f, err := os.OpenFile(l.path(logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	status, err := f.Stat()
	if err == nil {
		err = errors.Join(f.Chmod(0o600), durable.SyncDirectory(l.dir))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.torn = f, status.Size() > l.size
	return nil
}

// append writes lines behind the others and syncs them. When that fails nothing
// of them stays, so that the next ones don't follow half a line.
func (l *Log) append(lines []byte) error {
	if l.file == nil {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	if l.torn {
		if err := l.file.Truncate(l.size); err != nil {
			return err
		}
	}
	l.torn = true
	_, err := l.file.Write(lines)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		cut := l.file.Truncate(l.size)
		l.torn = cut != nil
		return errors.Join(err, cut)
	}
	l.torn = false
	l.size += int64(len(lines))
	return nil
}

// fitting encodes as many of the entries that wait as the file has room for. An
// empty file has room for one at least.
func (l *Log) fitting() (lines []byte, count int, err error) {
	for _, e := range l.missed {
		next, err := e.encode()
		if err != nil {
			return nil, 0, err
		}
		used := l.size + int64(len(lines))
		if used > 0 && used+int64(len(next)) > MaxFile {
			break
		}
		lines = append(lines, next...)
		count++
	}
	return lines, count, nil
}

// rotate begins a new file in place of a full one. First it writes down what is
// known, so that the oldest lines aren't needed any more.
func (l *Log) rotate() error {
	if err := l.remember(); err != nil {
		return err
	}
	if err := l.shut(); err != nil {
		return err
	}
	if err := os.Rename(l.path(logName), l.path(olderName)); err != nil {
		return err
	}
	l.size = 0
	return l.reopen()
}

func (l *Log) shut() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
