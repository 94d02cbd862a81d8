package control

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ground is a directory with a path that is short enough for a socket.
func ground(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestASocketNeverReplacesAnotherFile(t *testing.T) {
	dir := ground(t)
	key, empty, link := filepath.Join(dir, "parley.key"), filepath.Join(dir, "journal"), filepath.Join(dir, "link")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(key, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{key, empty, link} {
		if l, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "is no socket: set api.socket") {
			t.Errorf("%s: listening says %v", path, err)
			if l != nil {
				_ = l.Close()
			}
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("it is gone: %v", err)
		}
	}
}

func TestASocketOfADeadProcessIsReplacedAndThatOfALivingOneIsNot(t *testing.T) {
	path := filepath.Join(ground(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := os.Stat(path); err != nil || status.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has the mode %v (%v)", status.Mode(), err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another process serves") {
		t.Errorf("listening twice says %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) > 0 {
		t.Errorf("after it was closed there is %v (%v)", left, err)
	}
}

func TestOnlyAPathThatIsTooLongIsSaidToBe(t *testing.T) {
	dir := ground(t)
	for path, want := range map[string]string{
		filepath.Join(dir, strings.Repeat("x", 120)): "at most",
		filepath.Join(dir, "none", "s"):              "must be there",
	} {
		_, err := ListenUnix(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "at most") != (want == "at most") {
			t.Errorf("%s: listening says %v", path, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("what failed left %v (%v)", left, err)
	}
}
