//go:build linux

package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

const (
	port4001 = 4001
	lanes    = 4
)

// world is a few hosts on one cable with a node on each, all of which list one
// another.
type world struct {
	*scene
	cable *cable
	hosts []*host
	nodes []*program
	ids   []identity.ID
	began time.Time
	moves int // of all hosts
}

// newWorld makes a world in which nothing runs. Change may change each node's
// orders; nil leaves them.
func newWorld(t testing.TB, size int, seed uint64, change func(*nodeOrders)) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("takes its time, as networks do")
	}
	w := &world{scene: newScene(t), cable: newCable(seed), began: time.Now()}
	w.cable.become(good)
	for n := range size {
		w.hosts = append(w.hosts, newHost(t, w.cable, fmt.Sprint("10.78.0.", n+1)))
		dir := t.TempDir()
		key, err := identity.LoadOrGenerate(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, key.PeerID())
		w.nodes = append(w.nodes, w.program(fmt.Sprint("node ", n+1), "node", dir, w.hosts[n].within))
	}
	for n, node := range w.nodes {
		orders := nodeOrders{Listen: fmt.Sprintf("0.0.0.0:%d", port4001), Window: lanes, Lanes: lanes}
		for m, id := range w.ids {
			if m != n {
				orders.Peers = append(orders.Peers, id)
			}
		}
		if change != nil {
			change(&orders)
		}
		text, err := json.Marshal(orders)
		if err == nil {
			err = os.WriteFile(filepath.Join(node.dir, "orders.json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.list(n, nil)
	}
	return w
}

// list writes the list that node n follows: all others, at their hosts' addresses
// or at the one given.
func (w *world) list(n int, elsewhere map[int]netip.AddrPort) {
	w.t.Helper()
	var members []allowlist.Member
	for m, id := range w.ids {
		if m == n {
			continue
		}
		at, found := elsewhere[m]
		if !found {
			at = netip.AddrPortFrom(w.hosts[m].address, port4001)
		}
		members = append(members, allowlist.Member{ID: id, Addresses: []string{at.String()}})
	}
	list, err := allowlist.New(members...)
	if err == nil {
		err = list.Save(filepath.Join(w.nodes[n].dir, "peers.toml"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts all nodes.
func (w *world) start() {
	for _, node := range w.nodes {
		node.start()
	}
}

// more waits until each node has completed so many exchanges more.
func (w *world) more(exchanges int) {
	w.t.Helper()
	var goals []int
	for _, node := range w.nodes {
		goals = append(goals, node.count("done")+exchanges)
	}
	w.until(fmt.Sprintf("each node has completed %d exchanges more", exchanges), func() bool {
		for n, node := range w.nodes {
			if node.said["done"] < goals[n] {
				return false
			}
		}
		return true
	})
}

// finish lets all exchanges end, and the nodes, and checks their ledgers.
func (w *world) finish(mayAlarm ...parley.Kind) {
	w.t.Helper()
	for _, node := range w.nodes {
		node.order("enough")
	}
	w.until("all exchanges have ended", func() bool {
		for _, node := range w.nodes {
			if node.said["idle"] == 0 {
				return false
			}
		}
		return true
	})
	var dirs []string
	for _, node := range w.nodes {
		node.stop()
		dirs = append(dirs, node.dir)
	}
	exchanges := agree(w.t, dirs, lanes, mayAlarm...)
	w.t.Logf("%d exchanges in %.1f s; %v", exchanges, time.Since(w.began).Seconds(), w.cable.figures)
	for _, node := range w.nodes {
		w.t.Logf("%s: %s", node.name, node.last["stats"])
	}
}
