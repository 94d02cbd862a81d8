package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// TestTheExamplesOfTheManual runs what docs/api.md has for the shell, as a reader would
// paste it.
func TestTheExamplesOfTheManual(t *testing.T) {
	need(t, "sh", "curl")
	dir := shortDir(t)
	alice, bob := newDaemon(t, dir, "alice"), newDaemon(t, dir, "bob")
	for _, d := range [][2]*daemon{{alice, bob}, {bob, alice}} {
		listed(t, d[0], d[1])
		d[0].start()
	}
	alice.await()
	bob.await()
	script := "set -eu\ncurl() { command curl --silent --show-error --fail-with-body --max-time 60 \"$@\"; }\n" + examples(t)
	c := exec.CommandContext(t.Context(), "sh", "-c", script)
	c.Dir = dir
	c.Env = append(os.Environ(), "tcp="+alice.api, "PATH="+filepath.Dir(alice.path)+string(os.PathListSeparator)+os.Getenv("PATH"))
	text, err := c.CombinedOutput()
	said := string(text)
	if err != nil {
		t.Fatalf("%v:\n%s", err, said)
	}
	for _, want := range []string{
		"ok\n", "Parley-Kind: request", "what time is it?", "Parley-Outcome: answered", "half past nine", "and the weather?", "202 Accepted",
		`"outcome":"rejected"`, `"reason":"ask the sky"`, `"name":"bob"`,
	} {
		if !strings.Contains(strings.ReplaceAll(said, `": `, `":`), want) {
			t.Errorf("%q isn't among what the examples say:\n%s", want, said)
		}
	}
	alice.kill()
	bob.kill()
}

// listed puts one daemon on the allow list of another that isn't running.
func listed(t *testing.T, by, peer *daemon) {
	t.Helper()
	id, err := identity.ParseID(peer.id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := allowlist.New(allowlist.Member{ID: id, Name: peer.name, Addresses: []string{peer.address}})
	if err == nil {
		err = list.Save(filepath.Join(by.directory, "peers.toml"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// examples are the blocks for the shell, one after the other.
func examples(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, block := range strings.Split(string(page), "```sh\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		all.WriteString(code)
	}
	return all.String()
}
