package identity_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/parley-p2p/parley/identity"
)

func TestSavedKeyLoadsAgain(t *testing.T) {
	for _, kind := range kinds {
		directory := t.TempDir()
		path := filepath.Join(directory, "node.key")
		key := generate(t, kind)
		if err := key.Save(path); err != nil {
			t.Fatal(err)
		}
		loaded, err := identity.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !loaded.Libp2p().Equals(key.Libp2p()) || loaded.PeerID() != key.PeerID() {
			t.Errorf("%v: another key came back", kind)
		}
		status, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if status.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%v: the file's mode is %v", kind, status.Mode())
		}
		if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
			t.Errorf("%v: %d files left beside the key, %v", kind, len(entries)-1, err)
		}
	}
}

func TestKeyFileIsTheOneOfLibp2p(t *testing.T) {
	key, err := identity.ParseHex(specEd25519)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "node.key")
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(content); got != specEd25519 {
		t.Errorf("the file holds other bytes than the specification's example: %d digits", len(got))
	}
}

func TestSaveNeverTouchesAFileThatIsThere(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "node.key")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := generate(t, identity.Ed25519).Save(path)
	var wrong *identity.FileError
	if !errors.Is(err, fs.ErrExist) || !errors.As(err, &wrong) || wrong.Path != path {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file is now %q, %v", content, err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("%d files left behind, %v", len(entries)-1, err)
	}
}

func TestSaveNamesADirectoryThatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "node.key")
	if err := generate(t, identity.Ed25519).Save(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefusesAFileThatOthersCanReadOrWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps permissions elsewhere")
	}
	path := filepath.Join(t.TempDir(), "node.key")
	key := generate(t, identity.Ed25519)
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o620, 0o604, 0o602, 0o610, 0o644, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := identity.Load(path)
		if !errors.Is(err, identity.ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %v: %v", mode, err)
		}
		// An exposed key isn't replaced behind its owner's back either.
		if _, err := identity.LoadOrGenerate(path); !errors.Is(err, identity.ErrExposed) {
			t.Errorf("mode %v, or generate: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if loaded, err := identity.Load(path); err != nil || loaded.PeerID() != key.PeerID() {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestLoadRefusesWhatIsNoKey(t *testing.T) {
	directory := t.TempDir()
	for name, content := range map[string][]byte{
		"empty":   nil,
		"text":    []byte("hello"),
		"hex":     []byte(specEd25519),
		"endless": bytes.Repeat([]byte{8}, 1<<20),
	} {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Load(path); !errors.Is(err, identity.ErrInvalidKey) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := identity.LoadOrGenerate(path); !errors.Is(err, identity.ErrInvalidKey) {
			t.Errorf("%s, or generate: %v", name, err)
		}
	}
	if _, err := identity.Load(directory); !errors.Is(err, identity.ErrInvalidKey) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := identity.Load(filepath.Join(directory, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestLoadOrGenerateAtOnceGivesEveryoneTheSameKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	ids := make([]identity.ID, 8)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			key, err := identity.LoadOrGenerate(path)
			if err != nil {
				t.Error(err)
			}
			ids[i] = key.PeerID()
		})
	}
	group.Wait()
	for _, id := range ids {
		if id.IsZero() || id != ids[0] {
			t.Fatalf("%v and %v", ids[0], id)
		}
	}
}
