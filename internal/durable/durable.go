// Package durable writes small files whole: whatever happens in between, a reader
// finds the old content or the new, and what was returned without an error is on
// disk.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Draft is a name for a file that is to take the place of another, in the same
// directory. A machine that stops in the middle may leave path.*.new, which can be
// deleted.
func Draft(path string) string { return path + "." + rand.Text() + ".new" }

// WriteNew writes a file that must not exist yet, and syncs it. Where that fails no
// file is left. Its name is durable only after SyncDirectory.
func WriteNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return advised(err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(advised(err), os.Remove(path))
	}
	return nil
}

// advised says of a full disk what to do.
func advised(err error) error {
	var pathError *fs.PathError
	if errors.Is(err, syscall.ENOSPC) && errors.As(err, &pathError) {
		return &fs.PathError{Op: pathError.Op, Path: pathError.Path, Err: fmt.Errorf("%w: make room on that disk", pathError.Err)}
	}
	return err
}

// Replace writes a file in place of the one of that name, if there is one.
func Replace(path string, content []byte, mode fs.FileMode) error {
	draft := Draft(path)
	if err := WriteNew(draft, content, mode); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return SyncDirectory(filepath.Dir(path))
}

// SyncDirectory makes the entries of a directory durable. Windows can't sync one,
// and needn't.
func SyncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// Reason takes off what an error says that names the path itself: the operation
// and the path.
func Reason(err error) error {
	var pathError *fs.PathError
	var linkError *os.LinkError
	switch {
	case errors.As(err, &pathError):
		return pathError.Err
	case errors.As(err, &linkError):
		return linkError.Err
	}
	return err
}
