//go:build linux

package parley_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/identity"
)

// go-libp2p spares the loopback interface some of its limits. Where root may make
// network namespaces, the attacks come from a network that isn't one.
func TestAttacksFromAnotherNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	needFiles(t, 2*lorisSockets+1024)
	there := newNetwork(t)
	for name, pause := range map[string]time.Duration{"silent sockets": lorisPause, "unlisted flood": 0} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var ids []any
			for _, file := range []string{"defender.key", "honest.key", "attacker.key"} {
				key, err := identity.LoadOrGenerate(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, key.PeerID())
			}
			list := fmt.Sprintf("[[peer]]\nid = %q\naddresses = [\"%v:4001\"]\n", ids[1], there.honest)
			if err := os.WriteFile(filepath.Join(dir, "peers.toml"), []byte(list), 0o600); err != nil {
				t.Fatal(err)
			}
			defender := launch(t, there.inside(there.defenders), "node under attack", dir, "PARLEY_TEST_LISTEN="+there.defender.String()+":0")
			target := []string{"PARLEY_TEST_ADDRESS=" + defender.says(), fmt.Sprint("PARLEY_TEST_PEER=", ids[0])}
			attacker := launch(t, there.inside(there.others), "hostile peer", dir, append(target,
				"PARLEY_TEST_ATTACK="+name, "PARLEY_TEST_FROM="+there.hostile, "PARLEY_TEST_PAUSE="+pause.String())...)
			attacker.says() // that it is ready
			attacker.says() // that it is under way

			honest := launch(t, there.inside(there.others), "honest peer", dir, target...)
			var first, all time.Duration
			said := strings.Fields(honest.stop())
			for i, took := range []*time.Duration{&first, &all} {
				var err error
				if *took, err = time.ParseDuration(said[i]); err != nil {
					t.Fatal(err)
				}
			}
			report, stats := attacker.stop(), defender.stop()
			t.Logf("the first exchange took %v, %d took %v; the attacker says %s", first, honestExchanges, all, report)
			if first > lorisDelay {
				t.Errorf("the first exchange of a listed peer with a listed address took %v, more than %v", first, lorisDelay)
			}
			if !strings.Contains(stats, fmt.Sprintf("Requests:%d ", honestExchanges)) || !strings.Contains(stats, "Violations:0 ") {
				t.Errorf("of strangers something reached the machine: %s", stats)
			}
		})
	}
}

// network is two namespaces with a cable between them.
type network struct {
	defenders, others string // names of the namespaces
	defender, honest  netip.Addr
	hostile           string // 200 addresses besides the honest one
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	n := &network{
		defenders: fmt.Sprint("parley-d-", os.Getpid()), others: fmt.Sprint("parley-o-", os.Getpid()),
		defender: netip.MustParseAddr("10.77.0.1"), honest: netip.MustParseAddr("10.77.2.1"),
	}
	for _, name := range []string{n.defenders, n.others} {
		if said, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("needs network namespaces and the ip command: %v: %s", err, said)
		}
		t.Cleanup(func() {
			if said, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("a network namespace is left behind: %v: %s", err, said)
			}
		})
	}
	// The honest address is the first, and so the one that is used unasked.
	ours := fmt.Sprintf("addr add %v/16 dev parley\nlink set parley up\n", n.defender)
	theirs := fmt.Sprintf("addr add %v/16 dev parley\nlink set parley up\n", n.honest)
	for i := range lorisSources {
		from := netip.AddrFrom4([4]byte{10, 77, 1, byte(1 + i)})
		theirs += fmt.Sprintf("addr add %v/16 dev parley\n", from)
		n.hostile += from.String() + " "
	}
	batch(t, n.defenders, "link add parley type veth peer name parley netns "+n.others+"\n")
	batch(t, n.defenders, ours)
	batch(t, n.others, theirs)
	return n
}

// batch has ip(8) do a few things in a namespace.
func batch(t *testing.T, namespace, lines string) {
	t.Helper()
	command := exec.Command("ip", "-n", namespace, "-batch", "-")
	command.Stdin = strings.NewReader(lines)
	if said, err := command.CombinedOutput(); err != nil {
		t.Skipf("cannot set up a network between namespaces: %v: %s", err, said)
	}
}

// inside is the command by which a program runs in a namespace.
func (n *network) inside(namespace string) []string {
	return []string{"ip", "netns", "exec", namespace}
}
