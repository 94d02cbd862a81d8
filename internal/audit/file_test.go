package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/audit"
)

func TestFullLogIsRotatedAndNothingForgotten(t *testing.T) {
	dir := t.TempDir()
	alice, bob := peer(t, 1, "alice"), peer(t, 2, "bob")
	for i := range allowlist.MaxAddresses {
		alice.Addresses = append(alice.Addresses, fmt.Sprintf("/dns/%s.example.org/tcp/%d", strings.Repeat("a", 60), 4001+i))
	}
	log := open(t, dir, alice, bob)
	const changes = 800 // of some 3 KB each
	for i := range changes {
		alice.Limits.MaxOpen = i + 1
		record(t, log, changed(alice))
	}
	closed(t, log)
	for _, name := range []string{"allowlist.log", "allowlist.log.1"} {
		if status, err := os.Stat(filepath.Join(dir, name)); err != nil || status.Size() > audit.MaxFile || status.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, status, err)
		}
	}
	last := uint64(0)
	for e, err := range audit.Read(dir) {
		if err != nil || last != 0 && e.Number != last+1 {
			t.Fatalf("line %d follows line %d, %v", e.Number, last, err)
		}
		last = e.Number
	}
	if last != changes+2 {
		t.Errorf("the last line has number %d", last)
	}
	// bob's line is gone for long, but he isn't forgotten; nor would he be without
	// all other lines.
	before := len(written(t, dir))
	closed(t, open(t, dir, alice, bob))
	if got := len(written(t, dir)); got != before {
		t.Errorf("%d lines more", got-before)
	}
	for _, name := range []string{"allowlist.log", "allowlist.log.1"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, open(t, dir, alice, bob))
	if got := written(t, dir); len(got) != 1 || !strings.HasSuffix(got[0], "changed alice, was alice") {
		t.Errorf("written is %q", got)
	}
}

// filling are members whose lines don't fit into one file: some 1.3 MB.
func filling(t *testing.T) []allowlist.Member {
	t.Helper()
	var members []allowlist.Member
	for i := range 300 {
		m := peer(t, i+1, fmt.Sprint("peer ", i))
		for n := range allowlist.MaxAddresses {
			m.Addresses = append(m.Addresses, fmt.Sprintf("/dns/%s/tcp/%d", strings.Repeat("a.b", 84), 4001+n))
		}
		members = append(members, m)
	}
	return members
}

func TestListThatFillsTheLogIsKnown(t *testing.T) {
	dir, members := t.TempDir(), filling(t)
	closed(t, open(t, dir, members...))
	before := written(t, dir)
	if len(before) != len(members) {
		t.Fatalf("%d lines for %d members", len(before), len(members))
	}
	closed(t, open(t, dir, members...))
	expect(t, dir, before...)
}

func TestCloseTriesARotationAgainThatFailed(t *testing.T) {
	for name, mended := range map[string]bool{"and it succeeds": true, "and says that it fails": false} {
		t.Run(name, func(t *testing.T) {
			dir, members := t.TempDir(), filling(t)
			log := open(t, dir)
			inTheWay := filepath.Join(dir, "allowlist.log.1")
			if err := os.Mkdir(inTheWay, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := log.Record(added(members...)); err == nil {
				t.Fatal("a directory was replaced by a file")
			}
			if !mended {
				if err := log.Close(); err == nil {
					t.Error("lines were lost without a word")
				}
				return
			}
			if err := os.Remove(inTheWay); err != nil {
				t.Fatal(err)
			}
			closed(t, log)
			if got := len(written(t, dir)); got != len(members) {
				t.Errorf("%d lines for %d members", got, len(members))
			}
		})
	}
}

func TestRotationMayStopInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	alice, bob := peer(t, 1, "alice"), peer(t, 2, "bob")
	log := open(t, dir, alice)
	if err := audit.Remember(log); err != nil {
		t.Fatal(err)
	}
	record(t, log, added(bob))
	record(t, log, removed(alice))
	closed(t, log)
	before := written(t, dir)
	closed(t, open(t, dir, bob))
	expect(t, dir, before...)
	// The old file has its new name, and there is none yet in its place.
	if err := os.Rename(filepath.Join(dir, "allowlist.log"), filepath.Join(dir, "allowlist.log.1")); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, dir, bob))
	expect(t, dir, before...)
}

func TestTornLineIsFoundAsADifference(t *testing.T) {
	alice, bob := peer(t, 1, "alice"), peer(t, 2, "bob")
	whole := t.TempDir()
	log := open(t, whole, alice)
	record(t, log, added(bob))
	closed(t, log)
	content, err := os.ReadFile(filepath.Join(whole, "allowlist.log"))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.LastIndex(strings.TrimSpace(string(content)), "\n") + 1
	for size := line; size < len(content); size++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "allowlist.log"), content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, dir, "1 while not running: added alice")
		closed(t, open(t, dir, alice, bob))
		expect(t, dir, "1 while not running: added alice", "2 while not running: added bob")
	}
}

func TestDamagedLineIsReportedAndHealed(t *testing.T) {
	dir := t.TempDir()
	alice, bob, carol := peer(t, 1, "alice"), peer(t, 2, "bob"), peer(t, 3, "carol")
	closed(t, open(t, dir, alice, bob, carol))
	path := filepath.Join(dir, "allowlist.log")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(content), bob.ID.String(), "nobody", 1)
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	var found error
	for _, err := range audit.Read(dir) {
		found = errors.Join(found, err)
	}
	if !errors.Is(found, audit.ErrDamaged) || !strings.Contains(found.Error(), path+":2") || len(written(t, dir)) != 3 {
		t.Errorf("it says %v", found)
	}
	closed(t, open(t, dir, alice, bob, carol))
	lines := written(t, dir)
	if len(lines) != 4 || lines[3] != "4 while not running: added bob" {
		t.Errorf("written is %q", lines)
	}
}

// A log of damaged lines alone is full too: then nobody is known, as of no line.
func TestFullLogOfDamagedLinesIsRotated(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "allowlist.log"), []byte(strings.Repeat("damaged\n", audit.MaxFile/8)), 0o600); err != nil {
		t.Fatal(err)
	}
	alice := peer(t, 1, "alice")
	closed(t, open(t, dir, alice))
	content, err := os.ReadFile(filepath.Join(dir, "allowlist.known"))
	if err != nil || string(content) != `{"through":0,"members":0}`+"\n" {
		t.Fatalf("known is %q, %v", content, err)
	}
	closed(t, open(t, dir, alice))
	lines := written(t, dir)
	if len(lines) != audit.MaxFile/8+1 || lines[len(lines)-1] != "1 while not running: added alice" {
		t.Errorf("%d lines, the last one %q", len(lines), lines[len(lines)-1])
	}
}

func TestDamagedMembersAreNamed(t *testing.T) {
	dir := t.TempDir()
	alice := peer(t, 1, "alice")
	log := open(t, dir, alice)
	if err := audit.Remember(log); err != nil {
		t.Fatal(err)
	}
	closed(t, log)
	path := filepath.Join(dir, "allowlist.known")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{"", "\n", "{}\n", "x", "null\n", `{"through":0,"members":0}`, string(content[:len(content)-1]), strings.Replace(string(content), `"members":1`, `"members":2`, 1),
		strings.Replace(string(content), `"through":1`, `"through":0`, 1), `{"members":0}` + "\n", string(content) + "{}\n"} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if log, err := audit.Open(dir, nil, noon); !errors.Is(err, audit.ErrDamaged) || log != nil || !strings.Contains(err.Error(), "delete it") {
			t.Errorf("%q: %v", damaged, err)
		}
	}
}

func TestChangeThatCannotBeWrittenIsToldAndTriedAgain(t *testing.T) {
	full := errors.New("no space left on device")
	alice, bob, carol := peer(t, 1, "alice"), peer(t, 2, "bob"), peer(t, 3, "carol")
	for name, disk := range map[string]*audit.Disk{
		"half a line is written":        {WriteFails: full},
		"it isn't synced":               {SyncFails: full},
		"and what is torn can't be cut": {WriteFails: full, TruncateFails: full},
		"nor what isn't known to be":    {SyncFails: full, TruncateFails: full},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := open(t, dir, alice)
			audit.Break(log, disk)
			change := added(bob)
			change.By, change.Time = "peers.toml", noon
			if err := log.Record(change); !errors.Is(err, full) {
				t.Fatalf("got %v", err)
			}
			if err := log.Record(removed(bob)); !errors.Is(err, full) { // as it would have been known
				t.Fatalf("got %v", err)
			}
			if disk.TruncateFails == nil {
				expect(t, dir, "1 while not running: added alice")
			}
			disk.Mend()
			record(t, log, added(carol))
			want := []string{"1 while not running: added alice", "2 peers.toml: added bob", "3 : removed bob", "4 program: added carol"}
			expect(t, dir, want...)
			closed(t, log)
			closed(t, open(t, dir, alice, carol))
			expect(t, dir, want...)
		})
	}
}

func TestLogKeepsABoundedNumberOfWhatItMissed(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	disk := &audit.Disk{}
	audit.Break(log, disk)
	disk.WriteFails = errors.New("no space left on device")
	var members []allowlist.Member
	for i := range audit.MaxMissed + 50 {
		members = append(members, peer(t, i+1, fmt.Sprint("peer ", i)))
	}
	if err := log.Record(added(members...)); !errors.Is(err, disk.WriteFails) {
		t.Fatalf("got %v", err)
	}
	disk.WriteFails = nil
	closed(t, log)
	if got := len(written(t, dir)); got != audit.MaxMissed {
		t.Errorf("%d lines, want %d", got, audit.MaxMissed)
	}
	closed(t, open(t, dir, members...))
	last := written(t, dir)
	if want := fmt.Sprintf("%d while not running: added peer %d", len(members), len(members)-1); len(last) != len(members) || last[len(last)-1] != want {
		t.Errorf("%d lines, the last one %q", len(last), last[len(last)-1])
	}
}

func FuzzDecode(f *testing.F) {
	e := audit.Entry{Number: 7, Time: noon, By: "program", What: audit.Changed, Member: peer(f, 1, "alice")}
	was := peer(f, 1, "alicia")
	e.Was = &was
	seed, err := audit.Encode(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"n":1,"what":"removed","peer":"x","from":["10.0.0.0/8"],"limits":{"open":5}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		e, err := audit.Decode(content)
		if err != nil {
			if !errors.Is(err, audit.ErrDamaged) {
				t.Fatalf("an error without a type: %v", err)
			}
			return
		}
		again, err := audit.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		same, err := audit.Decode(again)
		if err != nil || !reflect.DeepEqual(same, e) && !same.Time.Equal(e.Time) {
			t.Fatalf("%+v became %+v, %v", e, same, err)
		}
	})
}
