package parley_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

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
	if e := bob.wantAmid(parley.PeerLimited, parley.StrangerRefused, parley.PeerSuspended, parley.RequestReceived); !strings.Contains(e.Err.Error(), "MaxOpenPerPeer: 1") {
		t.Fatalf("%+v came", e)
	}
}
