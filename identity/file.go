package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-p2p/parley/internal/durable"
)

// keyFileMode lets the owner alone read and write.
const keyFileMode fs.FileMode = 0o600

// LoadOrGenerate loads the key file or, where there is none, makes an Ed25519
// key and saves it there. Several processes that start at once over one path
// all end with the same key.
func LoadOrGenerate(path string) (Key, error) {
	key, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key, err = Generate(Ed25519)
	if err != nil {
		return Key{}, err
	}
	err = key.Save(path)
	if errors.Is(err, fs.ErrExist) {
		return Load(path)
	}
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

// Load reads a key file: the protobuf encoding of a libp2p private key, as
// [Key.Save] and other libp2p implementations write it. A file that anyone but
// its owner may read or write is refused with [ErrExposed]. (Windows keeps its
// permissions elsewhere; there they aren't looked at.)
func Load(path string) (Key, error) {
	key, err := load(path)
	if err != nil {
		return Key{}, &FileError{Op: "load", Path: path, Err: durable.Reason(err)}
	}
	return key, nil
}

func load(path string) (Key, error) {
	// Looked at before it is opened: opening a pipe would wait for a writer.
	if status, err := os.Stat(path); err != nil {
		return Key{}, err
	} else if !status.Mode().IsRegular() {
		return Key{}, fmt.Errorf("%w: not a regular file", ErrInvalidKey)
	}
	file, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer file.Close() // only read
	status, err := file.Stat()
	if err != nil {
		return Key{}, err
	}
	if status.Mode().Perm()&^keyFileMode != 0 && runtime.GOOS != "windows" {
		return Key{}, fmt.Errorf("%w: run chmod 600 %s", ErrExposed, path)
	}
	encoded, err := io.ReadAll(io.LimitReader(file, maxEncodedKey+1))
	switch {
	case err != nil:
		return Key{}, err
	case len(encoded) == 0:
		return Key{}, fmt.Errorf("%w: the file is empty", ErrInvalidKey)
	case len(encoded) > maxEncodedKey:
		return Key{}, fmt.Errorf("%w: the file is too long for one", ErrInvalidKey)
	}
	return decodeKey(encoded)
}

// Save writes the key to a new file that only its owner can read and write. It
// never touches a file that is there already (the error matches
// [io/fs.ErrExist]). The file is complete or absent, whenever the machine stops;
// when Save returns without an error it is on disk. A machine that stops in the
// middle may leave a file path.*.new, which can be deleted. The file system must
// know hard links.
func (k Key) Save(path string) error {
	if err := k.save(path); err != nil {
		return &FileError{Op: "save", Path: path, Err: durable.Reason(err)}
	}
	return nil
}

func (k Key) save(path string) error {
	if k.IsZero() {
		return ErrNoKey
	}
	encoded, err := crypto.MarshalPrivateKey(k.secret())
	if err != nil {
		return err
	}
	draft := durable.Draft(path)
	if err := durable.WriteNew(draft, encoded, keyFileMode); err != nil {
		return err
	}
	// A rename would replace a key that someone else saved meanwhile, and a key
	// that is gone is gone for ever; a link refuses to.
	err = os.Link(draft, path)
	if err = errors.Join(err, os.Remove(draft)); err != nil {
		return err
	}
	return durable.SyncDirectory(filepath.Dir(path))
}
