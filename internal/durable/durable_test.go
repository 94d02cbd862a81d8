package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-p2p/parley/internal/durable"
)

func TestReplaceLeavesTheNewContentAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	for _, content := range []string{"old and longer", "new"} {
		if err := durable.Replace(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	wantFiles(t, filepath.Dir(path), 1)
}

func TestReplaceThatFailsLeavesWhatWasThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := durable.Replace(path, []byte("new"), 0o600)
	if err == nil || errors.Is(durable.Reason(err), fs.ErrNotExist) {
		t.Fatalf("a directory was replaced: %v", err)
	}
	wantFiles(t, filepath.Dir(path), 1)
}

func TestWriteNewRefusesAFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.WriteNew(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteNew(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestReasonNamesNeitherOperationNorPath(t *testing.T) {
	_, err := os.Open(filepath.Join(t.TempDir(), "missing"))
	if got := durable.Reason(err); !errors.Is(got, fs.ErrNotExist) || got.Error() == err.Error() {
		t.Errorf("got %q of %q", got, err)
	}
	other := errors.New("another")
	if got := durable.Reason(other); got != other {
		t.Errorf("got %q", got)
	}
}

func wantFiles(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Errorf("%v, %v: want %d", entries, err, want)
	}
}
