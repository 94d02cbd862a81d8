package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournalDump(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "kept")
	if _, err := demo(t, "--nodes", "2", "--transactions", "1", "--keep", directory); err != nil {
		t.Fatal(err)
	}
	dump := func(path string) (string, int) {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{"journal", "dump", path})
		err := root.ExecuteContext(t.Context())
		return out.String(), exitCode(err)
	}
	output, code := dump(filepath.Join(directory, "member-1", "journal"))
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, want := range []string{"owner 12D3KooW", "dialer to 12D3KooW", `key "nonce/tx-0/attempt-1/12D3KooW`} {
		if !strings.Contains(output, want) {
			t.Errorf("%q isn't in the dump:\n%s", want, output)
		}
	}
	if _, code := dump(directory); code != 1 {
		t.Errorf("where there is no journal: exit code %d, want 1", code)
	}
}
