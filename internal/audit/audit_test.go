package audit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/audit"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// peer is the member whose secp256k1 key has this number.
func peer(t testing.TB, number int, name string) allowlist.Member {
	t.Helper()
	key, err := identity.ParseHex(fmt.Sprintf("08021220%064x", number))
	if err != nil {
		t.Fatal(err)
	}
	return allowlist.Member{ID: key.PeerID(), Name: name}
}

func open(t testing.TB, dir string, members ...allowlist.Member) *audit.Log {
	t.Helper()
	log, err := audit.Open(dir, members, noon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func closed(t testing.TB, log *audit.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// record writes a change that the program makes an hour after noon.
func record(t testing.TB, log *audit.Log, change allowlist.Change) {
	t.Helper()
	change.By, change.Time = allowlist.ByProgram, noon.Add(time.Hour)
	if err := log.Record(change); err != nil {
		t.Fatal(err)
	}
}

// written is the log as lines such as "3 while not running: changed bob, was rob".
func written(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	for e, err := range audit.Read(dir) {
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		text := fmt.Sprintf("%d %s: %s %v", e.Number, e.By, e.What, e.Member)
		if e.Was != nil {
			text += fmt.Sprintf(", was %v", *e.Was)
		}
		lines = append(lines, text)
	}
	return lines
}

func expect(t testing.TB, dir string, want ...string) {
	t.Helper()
	if difference := cmp.Diff(want, written(t, dir)); difference != "" {
		t.Errorf("it is written otherwise (-want +got):\n%s", difference)
	}
}

func added(members ...allowlist.Member) allowlist.Change   { return allowlist.Change{Added: members} }
func changed(members ...allowlist.Member) allowlist.Change { return allowlist.Change{Changed: members} }
func removed(members ...allowlist.Member) allowlist.Change { return allowlist.Change{Removed: members} }

func TestEveryChangeIsOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	alice, bob := peer(t, 1, "alice"), peer(t, 2, "bob & co")
	log := open(t, dir, alice)
	record(t, log, added(bob))
	was := alice
	alice.Addresses = []string{"/ip4/10.0.0.7/tcp/4001"}
	alice.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	alice.Limits.MaxOpen = 5
	record(t, log, allowlist.Change{Changed: []allowlist.Member{alice}, Removed: []allowlist.Member{bob}})
	closed(t, log)

	content, err := os.ReadFile(filepath.Join(dir, "allowlist.log"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"n":1,"time":"2026-03-01T12:00:00Z","by":"while not running","what":"added","peer":"` + alice.ID.String() + `","name":"alice"}
{"n":2,"time":"2026-03-01T13:00:00Z","by":"program","what":"added","peer":"` + bob.ID.String() + `","name":"bob & co"}
{"n":3,"time":"2026-03-01T13:00:00Z","by":"program","what":"changed","peer":"` + alice.ID.String() + `","name":"alice",` +
		`"addresses":["/ip4/10.0.0.7/tcp/4001"],"from":["10.0.0.0/24"],"limits":{"open":5},"was":{"name":"alice"}}
{"n":4,"time":"2026-03-01T13:00:00Z","by":"program","what":"removed","peer":"` + bob.ID.String() + `","name":"bob & co"}
`
	if difference := cmp.Diff(want, string(content)); difference != "" {
		t.Errorf("(-want +got):\n%s", difference)
	}
	expect(t, dir, "1 while not running: added alice", "2 program: added bob & co", "3 program: changed alice, was alice", "4 program: removed bob & co")
	for e, err := range audit.Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Number == 3 {
			equal := cmp.Comparer(func(a, b allowlist.Member) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) })
			want := audit.Entry{Number: 3, Time: noon.Add(time.Hour), By: "program", What: audit.Changed, Member: alice, Was: &was}
			if difference := cmp.Diff(want, e, equal); difference != "" {
				t.Errorf("(-want +got):\n%s", difference)
			}
			break
		}
	}
	if status, err := os.Stat(filepath.Join(dir, "allowlist.log")); err != nil || status.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", status.Mode(), err)
	}
}

func TestDifferenceIsFoundWhenTheLogIsOpened(t *testing.T) {
	dir := t.TempDir()
	alice, bob, carol := peer(t, 1, "alice"), peer(t, 2, "bob"), peer(t, 3, "carol")
	closed(t, open(t, dir, alice, bob))
	closed(t, open(t, dir, bob, alice)) // no difference, no line
	bob.Name = "robert"
	closed(t, open(t, dir, carol, bob))
	expect(t, dir, "1 while not running: added alice", "2 while not running: added bob",
		"3 while not running: added carol", "4 while not running: changed robert, was bob", "5 while not running: removed alice")
}

func TestWhatIsKnownIsNotWrittenTwice(t *testing.T) {
	dir := t.TempDir()
	alice, bob := peer(t, 1, "alice"), peer(t, 2, "bob")
	log := open(t, dir, alice)
	record(t, log, added(alice)) // made while the log was opened
	record(t, log, removed(bob))
	record(t, log, changed(alice))
	expect(t, dir, "1 while not running: added alice")
}

func TestChangesFromAllSidesAreWritten(t *testing.T) {
	const sides, rounds = 4, 25
	dir := t.TempDir()
	list, err := allowlist.New()
	if err != nil {
		t.Fatal(err)
	}
	log := open(t, dir)
	list.OnChange(func(change allowlist.Change) {
		if err := log.Record(change); err != nil {
			t.Error(err)
		}
	})
	var group sync.WaitGroup
	for side := range sides {
		m := peer(t, side+1, fmt.Sprint("peer ", side))
		group.Go(func() {
			for range rounds {
				if err := list.Add(m); err != nil {
					t.Error(err)
				}
				list.Remove(m.ID)
			}
		})
	}
	group.Wait()
	if got := len(written(t, dir)); got != 2*sides*rounds {
		t.Errorf("%d lines, want %d", got, 2*sides*rounds)
	}
}

func TestReadSaysThatThereIsNoLog(t *testing.T) {
	for _, err := range audit.Read(t.TempDir()) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	}
}

func TestClosedLogRefuses(t *testing.T) {
	log := open(t, t.TempDir())
	closed(t, log)
	closed(t, log)
	if err := log.Record(added(peer(t, 1, "alice"))); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestOpenSaysWhatStandsInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(path, nil, noon); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file for a directory: %v", err)
	}
}
