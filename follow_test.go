package parley_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/audit"
)

// Who was let in or shut out, when and by whom, can be read afterwards; who tried
// to get in, and how often, fills neither the file nor the log.
func TestChangesOfTheListAreWrittenDown(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	bob.stop()
	var lines lockedBuffer
	bob.config.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	bob = bob.again()
	list := bob.config.AllowList
	list.Remove(alice.PeerID())
	alice.ask(bob, "let me in")
	bob.untilRefused(alice, parley.ErrNotListed)
	if err := list.Add(allowlist.Member{ID: alice.PeerID(), Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	bob.wantAmid(parley.RequestReceived, exchanging...)
	bob.stop()
	list.Remove(alice.PeerID())
	bob = bob.again()

	var got []string
	for e, err := range audit.Read(bob.config.Dir) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Member.ID != alice.PeerID() {
			t.Errorf("%v is of somebody else", e)
		}
		got = append(got, fmt.Sprintf("%s %s", e.What, e.By))
	}
	want := []string{"added while not running", "removed program", "added program", "removed while not running"}
	if !slices.Equal(got, want) {
		t.Errorf("the file says %q, want %q", got, want)
	}
	for what, count := range map[string]int{"allow list: member removed": 1, "allow list: member added": 1, "let me in": 0} {
		if n := strings.Count(lines.String(), what); n != count {
			t.Errorf("%q stands %d times in the log:\n%s", what, n, lines.String())
		}
	}
	bob.stop()
	if err := os.WriteFile(filepath.Join(bob.config.Dir, "allowlist.known"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parley.New(bob.address, bob.key, bob.config); !errors.Is(err, audit.ErrDamaged) {
		t.Fatalf("with a damaged file New gives %v", err)
	}
	if err := list.Add(allowlist.Member{ID: alice.PeerID()}); err != nil { // waits for nobody
		t.Fatal(err)
	}
}

// lockedBuffer is a log that many goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// write makes a file say what an operator's editor would, in one step.
func write(t *testing.T, path, content string) {
	t.Helper()
	draft := path + ".draft"
	if err := errors.Join(os.WriteFile(draft, []byte(content), 0o600), os.Rename(draft, path)); err != nil {
		t.Fatal(err)
	}
}

func entry(key identity.Key, more string) string {
	return fmt.Sprintf("[[peer]]\nid = %q\n%s\n", key.PeerID(), more)
}

// An operator edits the list's file while the node runs: who is taken out is shut
// out, a mistake changes nothing and is told with its line, and who is put in
// again, with limits now, goes on.
func TestListIsEditedInItsFile(t *testing.T) {
	alice, bob := pair(t, impatient)
	bob.stop()
	file := filepath.Join(t.TempDir(), "peers.toml")
	other := entry(newKey(t), `name = "somebody else"`)
	write(t, file, other+entry(alice.key, `name = "alice"`))
	list, err := allowlist.Follow(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	})
	bob.config.AllowList = list
	bob = bob.again()
	exchangeOnce(alice, bob, "listed")

	write(t, file, other+"[[peer]]\nid = \"nobody\"\n")
	e := bob.want(parley.AllowListTrouble)
	var wrong *allowlist.FileError
	if !errors.As(e.Err, &wrong) || wrong.Path != file || wrong.Line != strings.Count(other, "\n")+2 || !e.Peer.IsZero() {
		t.Fatalf("%+v came", e)
	}
	exchangeOnce(alice, bob, "still listed")

	id := alice.ask(bob, "just before")
	bob.wantBody(parley.RequestReceived, "just before")
	write(t, file, other)
	if e := bob.wantAmid(parley.PeerSuspended, parley.StrangerRefused); e.Peer != alice.PeerID() {
		t.Fatalf("%+v came", e)
	}
	bob.untilRefused(alice, parley.ErrNotListed)
	bob.reply(id, "held back")

	write(t, file, other+entry(alice.key, "[peer.limits]\nopen = 1"))
	alice.wantBody(parley.ReplyReceived, "held back")
	alice.askIn("one", bob, "taken")
	alice.askIn("two", bob, "one too many")
	if e := bob.wantAmid(parley.PeerLimited, parley.StrangerRefused, parley.PeerSuspended, parley.RequestReceived); !strings.Contains(e.Err.Error(), "MaxOpenPerPeer, or open on the allow list: 1") {
		t.Fatalf("%+v came", e)
	}
}
