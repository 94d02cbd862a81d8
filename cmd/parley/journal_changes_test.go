package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/audit"
)

func TestJournalChanges(t *testing.T) {
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	dir, morning := t.TempDir(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alice := allowlist.Member{ID: key.PeerID(), Name: "alice"}
	log, err := audit.Open(dir, []allowlist.Member{alice}, morning)
	if err != nil {
		t.Fatal(err)
	}
	moved := alice
	moved.Addresses = []string{"/ip4/10.0.0.7/tcp/4001"}
	for _, change := range []allowlist.Change{
		{Changed: []allowlist.Member{moved}, By: "peers.toml", Time: morning},
		{Removed: []allowlist.Member{moved}, By: allowlist.ByProgram, Time: morning.Add(time.Hour)},
	} {
		if err := log.Record(change); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	list := func(path string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{"journal", "changes", path})
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	got, err := list(dir)
	peer := "alice " + alice.ID.String()
	want := strings.Join([]string{
		"2026-01-02T03:04:05Z  added    " + peer + ", by " + audit.WhileNotRunning,
		"2026-01-02T03:04:05Z  changed  " + peer + " at /ip4/10.0.0.7/tcp/4001, by peers.toml",
		"                      was      " + peer,
		"2026-01-02T04:04:05Z  removed  " + peer + " at /ip4/10.0.0.7/tcp/4001, by " + allowlist.ByProgram,
	}, "\n") + "\n"
	if err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}

	path := filepath.Join(dir, "allowlist.log")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines[1] = []byte("nonsense\n")
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := list(dir); exitCode(err) != 1 || !strings.Contains(err.Error(), "allowlist.log:2") || !strings.Contains(got, "removed") {
		t.Errorf("of a damaged log: %v\n%s", err, got)
	}
	if _, err := list(t.TempDir()); exitCode(err) != 1 || !strings.Contains(err.Error(), "Config.Dir") {
		t.Errorf("where there is none: %v", err)
	}
}
