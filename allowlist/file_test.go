package allowlist_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/allowlist"
)

func load(t testing.TB, content string) (*allowlist.List, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "allow.toml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return allowlist.Load(path)
}

func TestLoadReadsTheDocumentedForm(t *testing.T) {
	alice, bob := peerID(t, 1), peerID(t, 2)
	list, err := load(t, `
# The committee.
[[peer]]
id = "`+bob.String()+`"

[[peer]]
id = "`+alice.String()+`" # since March
name = "alice"
addresses = [
	"/ip4/10.0.0.7/tcp/4001/p2p/`+alice.String()+`",
	"alice.example.org:4001",
]
from = ["10.0.0.7", "::ffff:192.168.0.0/112", "2001:db8::/48", "10.0.0.7/32"]

[peer.limits]
exchanges_per_second = 10
bytes_per_second = 1_048_576
frames_per_second = 100
open = 5
stored = 10_000_000
streams = 8
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []allowlist.Member{
		{ID: alice, Name: "alice", Addresses: []string{"/ip4/10.0.0.7/tcp/4001", "/dns/alice.example.org/tcp/4001"},
			From:   pins("10.0.0.7/32", "192.168.0.0/16", "2001:db8::/48"),
			Limits: allowlist.Limits{ExchangesPerSecond: 10, BytesPerSecond: 1 << 20, FramesPerSecond: 100, MaxOpen: 5, MaxStored: 10_000_000, MaxStreams: 8}},
		{ID: bob},
	}
	if difference := cmp.Diff(want, list.Members(), equal); difference != "" {
		t.Errorf("(-want +got):\n%s", difference)
	}
	if list, err := load(t, ""); err != nil || len(list.Members()) != 0 || list.Admits(alice) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestLoadNamesThePlace(t *testing.T) {
	alice, bob := peerID(t, 1).String(), peerID(t, 2).String()
	one := "[[peer]]\nid = '" + alice + "'\nname = 'alice'\n"
	for _, test := range []struct {
		name, content string
		line, column  int
		is            error
		says          string
	}{
		{"no TOML", "[[peer]\n", 1, 7, nil, "]]"},
		{"an unknown key", one + "adress = 'a:1'\n", 4, 1, nil, `"peer.adress"`},
		{"an unknown table", one + "\n[members]\n", 5, 2, nil, `"members"`},
		{"a number for an ID", "[[peer]]\nid = 5\n", 2, 6, nil, "string"},
		{"a key twice", one + "name = 'a'\n", 4, 1, nil, "already"},
		{"no ID", one + "\n[[peer]]\nname = 'bob'\n", 5, 3, nil, "needs its peer ID"},
		{"a wrong ID", "[[peer]]\n  id =  'alice'\n", 2, 9, nil, "12D3KooW"},
		{"an RSA ID", "[[peer]]\nid = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'\n", 2, 6, nil, "Ed25519"},
		{"an ID twice", one + "[[peer]]\nname = 'bob'\nid = '" + alice + "'\n", 6, 6, allowlist.ErrDuplicate, "line 1"},
		{"a name twice", "\n" + one + "[[peer]]\nname = 'alice'\nid = '" + bob + "'\n", 6, 8, allowlist.ErrDuplicate, "line 2"},
		{"a wrong name", "[[peer]]\nid = '" + alice + "'\nname = ' '\n", 3, 8, nil, "space"},
		{"a wrong address", one + "addresses = ['a:1',\n# and\n  'b']\n", 6, 3, allowlist.ErrAddress, "port is missing"},
		{"another's address", one + "addresses = ['/dns/a/tcp/1/p2p/" + bob + "']\n", 4, 14, allowlist.ErrAddress, "another peer"},
		{"no pin", one + "from = ['10.0.0.7', '10.0.0.777']\n", 4, 21, allowlist.ErrPin, "not an IP address"},
		{"a pin with bits behind it", one + "from = [\n'10.0.0.7/24']\n", 5, 1, allowlist.ErrPin, "10.0.0.0/24"},
		{"an unknown limit", one + "[peer.limits]\nopne = 5\n", 5, 1, nil, "exchanges_per_second"},
		{"a negative limit", one + "[peer.limits]\nopen = 5\nstored = -5\n", 6, 10, nil, "limits.stored"},
		{"a limit that is too high", one + "limits.open = 5\nlimits.streams = 99_000_000\n", 5, 18, nil, "limits.streams"},
		{"a limit in braces", one + "limits = { open = 5, frames_per_second = -1 }\n", 4, 42, nil, "limits.frames_per_second"},
		{"a limit beyond all numbers", one + "[peer.limits]\nopen = 99999999999999999999\n", 5, 8, nil, ""},
		{"a limit that is a text", one + "[peer.limits]\nstored = '5 MiB'\n", 5, 10, nil, "string"},
		{"a limit in the second of two", one + "[peer.limits]\nopen = 5\n[[peer]]\nid = '" + bob + "'\n[peer.limits]\nopen = -1\n", 9, 8, nil, "limits.open"},
		{"limits of nobody", "[peer.limits]\nopen = 5\n", 0, 0, nil, "[[peer]]"},
		{"several limits", one + "[[peer.limits]]\nopen = 5\n", 4, 3, nil, "array table"},
		{"peers in one line", "peer = [{id = '" + alice + "'}]\n", 0, 0, nil, "[[peer]]"},
		{"one table for a peer", "[peer]\nid = '" + alice + "'\n", 0, 0, nil, "[[peer]]"},
	} {
		_, err := load(t, test.content)
		var got *allowlist.FileError
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v", test.name, err)
			continue
		}
		if got.Line != test.line || got.Column != test.column {
			t.Errorf("%s: line %d column %d, want %d and %d: %v", test.name, got.Line, got.Column, test.line, test.column, err)
		}
		if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "allow.toml") {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestLoadSaysThatTheFileIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allow.toml")
	if _, err := allowlist.Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestSavedListLoadsAgain(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "allow.toml")
	list := newList(t,
		allowlist.Member{ID: peerID(t, 1), Name: `the "first" 'peer' \ü`, Addresses: []string{"10.0.0.7:4001", "alice:4001"},
			From: pins("10.0.0.7/32", "2001:db8::/48"), Limits: allowlist.Limits{MaxOpen: 5}},
		allowlist.Member{ID: peerID(t, 2), Limits: allowlist.Limits{ExchangesPerSecond: 1, BytesPerSecond: 2, FramesPerSecond: 3, MaxOpen: 4, MaxStored: 5, MaxStreams: 6}},
		allowlist.Member{ID: peerID(t, 3), From: pins("0.0.0.0/0")},
	)
	for range 2 { // the second time there is a file to replace
		if err := list.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := allowlist.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(list.Members(), loaded.Members(), equal); difference != "" {
		t.Errorf("(-saved +loaded):\n%s", difference)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("%d files left beside the list, %v", len(entries)-1, err)
	}
	if err := newList(t).Save(path); err != nil {
		t.Fatal(err)
	}
	if loaded, err := allowlist.Load(path); err != nil || len(loaded.Members()) != 0 {
		t.Errorf("an empty list: %v", err)
	}
	if err := list.Save(filepath.Join(directory, "missing", "allow.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a directory that is missing: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	alice, bob := peerID(f, 1).String(), peerID(f, 2).String()
	f.Add([]byte("[[peer]]\nid = '" + alice + "'\nname = 'alice'\naddresses = ['a:1', '/ip4/10.0.0.7/tcp/4001']\n"))
	f.Add([]byte("[[peer]]\nid = '" + alice + "'\n[[peer]]\nid = \"" + bob + "\"\nname = 'b'\n"))
	f.Add([]byte("[[peer]]\nid = '" + alice + "'\nid.x = 5\n[peer.y]\n"))
	f.Add([]byte("peer = [{id = '" + alice + "'}]\n"))
	f.Add([]byte("[[peer]]\nid = '" + alice + "'\nfrom = ['10.0.0.7', '::ffff:10.0.0.0/104']\n[peer.limits]\nopen = 5\nstored = 9\n"))
	f.Add([]byte("[[peer]]\nid = '" + alice + "'\nlimits = { open = 5, streams = -1 }\n[peer.limits]\n[[peer.limits]]\n"))
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		list, err := allowlist.Decode(content)
		if err != nil {
			var wrong *allowlist.FileError
			if !errors.As(err, &wrong) {
				t.Fatalf("an error without a type: %v", err)
			}
			return
		}
		path := filepath.Join(directory, "allow.toml")
		if err := list.Save(path); err != nil {
			t.Fatal(err)
		}
		loaded, err := allowlist.Load(path)
		if err != nil {
			t.Fatalf("what was saved doesn't load: %v", err)
		}
		if difference := cmp.Diff(list.Members(), loaded.Members(), equal); difference != "" {
			t.Fatalf("(-saved +loaded):\n%s", difference)
		}
	})
}

func TestSaveLeavesWhoMayReadTheFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode there")
	}
	list, err := allowlist.New()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "peers.toml")
	saved := func() fs.FileMode {
		if err := list.Save(path); err != nil {
			t.Fatal(err)
		}
		at, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return at.Mode().Perm()
	}
	if mode := saved(); mode != 0o600 {
		t.Errorf("a new file has the mode %v", mode)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if mode := saved(); mode != 0o640 {
		t.Errorf("a file of mode 0640 has become one of %v", mode)
	}
}
