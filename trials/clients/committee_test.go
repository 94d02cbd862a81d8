package clients

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

// gathering is a committee whose last member is a Python program and its daemon, and
// whose others are processes in Go.
type gathering struct {
	t         *testing.T
	dir       string
	agreed    committee.Committee
	addresses []string
	members   []*process // in Go
	daemon    *daemon
	python    *process
}

func gather(t *testing.T, members, transactions int) *gathering {
	t.Helper()
	g := &gathering{t: t, dir: shortDir(t), agreed: committee.Committee{Transactions: transactions, Programs: 2, Seed: *seed, MessageSize: 256}}
	g.daemon = newDaemon(t, g.dir, fmt.Sprint("member-", members))
	for n := range members - 1 {
		dir := g.member(n)
		key, err := identity.LoadOrGenerate(filepath.Join(g.made(dir), "key"))
		if err != nil {
			t.Fatal(err)
		}
		g.agreed.Members, g.addresses = append(g.agreed.Members, key.PeerID()), append(g.addresses, freeAddress(t))
		g.write(filepath.Join(dir, "address"), []byte(g.addresses[n]))
		g.members = append(g.members, &process{t: t, name: filepath.Base(dir), path: g.daemon.path, dir: g.dir, args: []string{"demo-member", dir}})
	}
	id, err := identity.ParseID(g.daemon.id)
	if err != nil {
		t.Fatal(err)
	}
	g.agreed.Members, g.addresses = append(g.agreed.Members, id), append(g.addresses, g.daemon.address)
	for n := range members {
		g.list(n)
	}
	text, err := json.Marshal(g.agreed)
	if err != nil {
		t.Fatal(err)
	}
	agreed := filepath.Join(g.dir, "committee.json")
	g.write(agreed, text)
	program, err := filepath.Abs(filepath.Join(sources, "python", "committee", "member.py"))
	if err != nil {
		t.Fatal(err)
	}
	g.python = &process{t: t, name: "python", path: "python3", dir: g.dir, args: []string{program, g.daemon.socket(), agreed, g.state(members - 1)}}
	return g
}

func (g *gathering) member(n int) string { return filepath.Join(g.dir, fmt.Sprint("member-", n+1)) }

func (g *gathering) state(n int) string { return filepath.Join(g.member(n), "state") }

func (g *gathering) made(dir string) string {
	g.t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		g.t.Fatal(err)
	}
	return dir
}

func (g *gathering) write(path string, content []byte) {
	g.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// list writes a member's allow list: all others.
func (g *gathering) list(n int) {
	g.t.Helper()
	list, err := allowlist.New()
	for m, id := range g.agreed.Members {
		if m != n && err == nil {
			err = list.Add(allowlist.Member{ID: id, Name: fmt.Sprint("member-", m+1), Addresses: []string{g.addresses[m]}})
		}
	}
	if err == nil {
		err = list.Save(filepath.Join(g.member(n), "peers.toml"))
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// done reports whether every member has said that nothing is left for it to ask.
func (g *gathering) done() bool {
	g.t.Helper()
	done := true
	for _, p := range append(g.members, g.python) {
		if p.finished() {
			g.t.Fatalf("%s has ended", p.name)
		}
		text, err := os.ReadFile(p.said())
		if err != nil {
			g.t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		done = done && strings.Contains(strings.ReplaceAll(lines[len(lines)-1], " ", ""), `"done":true`)
	}
	return done
}

// size is how much the Python member knows, in bytes.
func (g *gathering) size() int64 {
	if file, err := os.Stat(g.state(len(g.members))); err == nil {
		return file.Size()
	}
	return 0
}

// signing reports whether the Python member has consumed nonces for what it hasn't
// signed yet, as far as its file says.
func (g *gathering) signing() bool {
	content, err := os.ReadFile(g.state(len(g.members)))
	return err == nil && strings.Count(string(content), "nonce consumed") > strings.Count(string(content), "partial signed")
}

// sign lets the committee sign, and kills the Python member or its daemon so often,
// the member first amid its signing.
func (g *gathering) sign(kills int) {
	g.t.Helper()
	for _, p := range append(g.members, g.daemon.process, g.python) {
		p.start()
	}
	random := rand.New(rand.NewPCG(*seed, 0))
	last, moved, next, amid := int64(0), time.Now(), random.Int64N(4000), false
	for !g.done() {
		switch size := g.size(); {
		case kills > 0 && !amid && g.signing():
			amid = true
			g.python.kill()
			g.python.start()
		case kills > 0 && size >= next:
			victim := []*process{g.python, g.daemon.process}[random.IntN(2)]
			victim.kill()
			victim.start()
			kills, next = kills-1, size+random.Int64N(4000)
		case size != last:
			last, moved = size, time.Now()
		case time.Since(moved) > patience:
			g.t.Fatalf("nothing has moved for %v", patience)
		}
		time.Sleep(time.Millisecond) // a poll of real processes
	}
	if kills > 0 {
		g.t.Errorf("the committee has signed before %d of the kills", kills)
	}
	for _, p := range append(g.members, g.daemon.process, g.python) {
		p.kill()
	}
}

func (g *gathering) audit() committee.Report {
	g.t.Helper()
	records := map[identity.ID][]committee.Record{}
	for n, id := range g.agreed.Members {
		var err error
		if records[id], err = committee.ReadRecords(g.state(n)); err != nil {
			g.t.Fatal(err)
		}
	}
	report, err := committee.Audit(g.agreed, records)
	if err != nil {
		g.t.Fatal(err)
	}
	return report
}

func TestAMemberInPythonSigns(t *testing.T) {
	need(t, "python3")
	g := gather(t, 3, 6)
	g.sign(0)
	report := g.audit()
	if want := 3 * g.agreed.Exchanges(); report.Err() != nil || report.Exchanges != want || report.Repeated != 0 {
		t.Errorf("%v: %+v, want %d exchanges", report.Err(), report, want)
	}
}

func TestAMemberInPythonSignsThroughCrashes(t *testing.T) {
	need(t, "python3")
	const kills = 8
	g := gather(t, 3, 12)
	g.sign(kills)
	report := g.audit()
	if report.Err() != nil {
		t.Errorf("%v: %+v", report.Err(), report)
	}
	t.Logf("%d valid signatures, %d rounds repeated, %d kills", report.Valid, report.Repeated, kills)
}
