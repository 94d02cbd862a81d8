package journal

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// noLeaks expects that the test leaves no goroutine behind. A journal that
// failed may: see abandon.
func noLeaks(t *testing.T) {
	ignored := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignored) })
}

// resealVersion turns a sealed value into one of another version.
func resealVersion(sealed, key []byte, version byte) {
	sealed[0] = version
	end := len(sealed) - checksumSize
	binary.LittleEndian.PutUint32(sealed[end:], rowChecksum(key, sealed[:end]))
}

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	noLeaks(t)
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, nil)
	set(t, j, true, "a", "1")
	putPayload(t, j, pattern(FileSize))
	defer mustClose(t, j)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, payloadsDir)); err != nil {
		t.Fatal(err)
	}
}
