package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
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

// TestAnotherProcessIsRefused opens the journal from a second process: this
// test's program, run again for the one test below.
func TestAnotherProcessIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, dir, nil)
	defer mustClose(t, j)
	other := exec.Command(os.Args[0], "-test.run=^TestOtherProcess$", "-test.v")
	other.Env = append(os.Environ(), "OTHER_PROCESS_OPENS="+dir)
	out, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused: open journal: journal is in use: "+j.Dir()) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestOtherProcess(t *testing.T) {
	dir := os.Getenv("OTHER_PROCESS_OPENS")
	if dir == "" {
		t.Skip("runs in a process of its own")
	}
	_, err := Open(dir, options(nil))
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("open: %v", err)
	}
	t.Logf("refused: %v", err)
}

func TestAliasIsTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, dir+"-alias"); err != nil {
		t.Skip(err)
	}
	j := mustOpen(t, dir, nil)
	defer mustClose(t, j)
	if _, err := Open(dir+"-alias", options(nil)); !errors.Is(err, ErrLocked) {
		t.Fatalf("open by another name: %v", err)
	}
}

func TestCommitSyncsOnce(t *testing.T) {
	disk := newFaultyDisk(vfs.NewMem())
	j := mustOpen(t, memDir, disk)
	defer mustClose(t, j)
	disk.concern(func(op errorfs.Op) bool {
		return strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData)
	})
	disk.set(-1, 0)
	const commits = 50
	for i := range commits {
		set(t, j, true, fmt.Sprint(i), "1")
		set(t, j, false, fmt.Sprint(i), "2")
	}
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if disk.changes != commits {
		t.Fatalf("%d synced commits synced %d times", commits, disk.changes)
	}
}

func TestEmptyCommitSyncsWhatWasCommittedBefore(t *testing.T) {
	disk := vfs.NewCrashableMem()
	j := mustOpen(t, memDir, disk)
	set(t, j, false, "before", "1")
	if err := j.Batch().Commit(true); err != nil {
		t.Fatal(err)
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, j)
	j = mustOpen(t, memDir, crashed)
	defer mustClose(t, j)
	found := false
	if err := j.Replay(func(key, _ []byte) error { found = found || string(key) == "before"; return nil }); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Fatal("a synced empty commit left what was committed before it unsynced")
	}
}

func TestNewerDatabaseFormatIsRefused(t *testing.T) {
	disk := vfs.NewMem()
	mustClose(t, mustOpen(t, memDir, disk))
	replaced(t, disk, fmt.Sprintf("%s/%s/marker.format-version.000099.%03d", memDir, recordsDir, newestFormat+1), nil)
	_, err := Open(memDir, options(disk))
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), fmt.Sprintf("format %d", newestFormat+1)) {
		t.Fatalf("open: %v", err)
	}
}

func TestCacheKeepsWhatWasUsedLast(t *testing.T) {
	c := newCache(100)
	for number := range uint64(5) {
		c.add(number, make([]byte, 30))
		c.get(1)
	}
	c.add(9, make([]byte, 51))
	var kept []uint64
	for number := range uint64(10) {
		if _, ok := c.get(number); ok {
			kept = append(kept, number)
		}
	}
	if !slices.Equal(kept, []uint64{1, 3, 4}) {
		t.Fatalf("kept %v, want 1, 3, 4", kept)
	}
	if payloads, bytes := c.stats(); payloads != 3 || bytes != 90 {
		t.Fatalf("%d payloads, %d bytes", payloads, bytes)
	}
}

// TestOnlyATornTailIsWarnedOf opens a new journal and one that was closed, then
// one whose log was cut.
func TestOnlyATornTailIsWarnedOf(t *testing.T) {
	var heard bytes.Buffer
	disk := vfs.NewCrashableMem()
	o := options(disk)
	o.Logger = slog.New(slog.NewTextHandler(&heard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	for range 2 {
		j, err := Open(memDir, o)
		if err != nil {
			t.Fatal(err)
		}
		set(t, j, true, "a", "1")
		mustClose(t, j)
	}
	if heard.Len() > 0 {
		t.Fatalf("a whole journal warns: %s", &heard)
	}
	crashed, _ := written(t, 3)
	log := newestLog(t, withoutMark(t, crashed))
	whole := bytes.Clone(contents(t, crashed, log))
	replaced(t, crashed, log, whole[:len(whole)-5])
	o.FS = crashed
	j, err := Open(memDir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, j)
	if line := heard.String(); !strings.Contains(line, log) || !strings.Contains(line, "torn tail") {
		t.Fatalf("heard of a torn tail: %q", line)
	}
}
