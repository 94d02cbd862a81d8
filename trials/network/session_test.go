package network

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/trials/failpoints"
)

// members is how many a committee has here.
const members = 3

// session is a committee that signs, each member a process of its own.
type session struct {
	*scene
	committee.Committee
	members []*program
}

// site is where a session takes place: for each member where it runs, and at which
// address.
type site struct {
	places    []place
	addresses []string
	bad       bool // the lines between
}

var loopbacks atomic.Int64

// loopback is this machine, and on Linux, which has enough of them, for each member
// an address there of its own: else, while its process is down, a connection of
// another might be given its port.
func loopback(t testing.TB) site {
	t.Helper()
	var s site
	for range members {
		ip := "127.0.0.1"
		if runtime.GOOS == "linux" {
			n := loopbacks.Add(1)
			ip = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n/250, 1+n%250)
		}
		l, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // when all are found, so that none is found twice
		s.places, s.addresses = append(s.places, here), append(s.addresses, l.Addr().String())
	}
	return s
}

func newSession(t testing.TB, binary string, at site, messageSize int) *session {
	t.Helper()
	s := &session{scene: newScene(t), Committee: committee.Committee{Transactions: 1, Programs: 1, Seed: 1, MessageSize: messageSize}}
	var all []allowlist.Member
	for n, address := range at.addresses {
		dir := t.TempDir()
		key, err := identity.LoadOrGenerate(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		s.Members = append(s.Members, key.PeerID())
		all = append(all, allowlist.Member{ID: key.PeerID(), Addresses: []string{address}})
		member := s.program(fmt.Sprint("member ", n+1), "member", dir, at.places[n])
		member.binary = binary
		s.members = append(s.members, member)
	}
	for n, member := range s.members {
		others := append(append([]allowlist.Member{}, all[:n]...), all[n+1:]...)
		list, err := allowlist.New(others...)
		if err == nil {
			err = list.Save(filepath.Join(member.dir, "peers.toml"))
		}
		for name, content := range map[string]any{"committee.json": s.Committee, "orders.json": nodeOrders{Listen: at.addresses[n], Patient: at.bad}} {
			text, failed := json.Marshal(content)
			if err == nil && failed == nil {
				failed = os.WriteFile(filepath.Join(member.dir, name), text, 0o600)
			}
			if err == nil {
				err = failed
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// strike is where a member dies.
type strike struct {
	member int
	place  string
	nth    int  // time that it is passed
	again  bool // in the run after a first crash, amid its work
}

func (s strike) String() string {
	when := ""
	if s.again {
		when = ", after a crash"
	}
	return fmt.Sprintf("%s:%d of member %d%s", s.place, s.nth, s.member+1, when)
}

// run lets the committee sign while a member dies, and is started again, and
// reports whether it did die. No strike at all is a zero one.
func (s *session) run(at strike) (died bool) {
	s.t.Helper()
	victim := s.members[at.member]
	for _, member := range s.members {
		if member == victim && !at.again {
			member.start(failpoints.Env(at.place, at.nth))
		} else {
			member.start()
		}
	}
	if at.again {
		s.until("the member has got on", func() bool { return victim.said["moved"] > 1 })
		victim.kill()
		victim.start(failpoints.Env(at.place, at.nth))
	}
	signed := func() bool {
		for _, member := range s.members {
			if member.said["signed"] == 0 {
				return false
			}
		}
		return true
	}
	s.until("the committee has signed, or a member died", func() bool { return signed() || victim.over() })
	if !victim.over() { // it may yet be struck while it ends
		victim.stdin.Close()
		s.until("the member ends", victim.over)
	}
	died = victim.fate != nil
	if died && !strings.Contains(victim.fate.Error(), "killed") {
		s.t.Fatalf("%v: %s ended with %v:\n%s", at, victim.name, victim.fate, &victim.errors)
	}
	s.move(func() { victim.said["signed"] = 0 }) // it says so again
	victim.start()
	s.until("the committee has signed", signed)
	s.check()
	return died
}

// check ends the members and audits what they stored.
func (s *session) check() {
	s.t.Helper()
	records := map[identity.ID][]committee.Record{}
	for n, member := range s.members {
		member.stop()
		if said := member.last["alarmed"]; said != "" {
			s.t.Errorf("%s: %s", member.name, said)
		}
		var err error
		if records[s.Members[n]], err = committee.ReadRecords(filepath.Join(member.dir, "state")); err != nil {
			s.t.Fatal(err)
		}
	}
	report, err := committee.Audit(s.Committee, records)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		s.t.Errorf("%v: %+v", err, report)
	}
}

// Points with names take a build of their own: this is what can be had without.
func TestACommitteeSignsThoughAMemberIsKilled(t *testing.T) {
	t.Parallel()
	for n := range members {
		t.Run(fmt.Sprint("member ", n+1), func(t *testing.T) {
			t.Parallel()
			newSession(t, os.Args[0], loopback(t), 0).run(strike{member: n, again: true})
		})
	}
}
