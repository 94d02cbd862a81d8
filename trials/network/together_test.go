//go:build linux

package network

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seed      = flag.Uint64("seed", 1, "of what befalls the network in TestAllTogether")
	exchanges = flag.Int("exchanges", 0, "how many exchanges TestAllTogether has at least; 0: it is skipped")
)

// mishap is something that befalls a host, and how it passes.
type mishap struct {
	name  string
	begin func(w *world, n int)
	end   func(w *world, n int)
}

var mishaps = []mishap{
	{"its link goes down", func(w *world, n int) { w.hosts[n].ip("link set eth0 down") }, func(w *world, n int) { w.hosts[n].ip("link set eth0 up") }},
	{"nothing leaves it", func(w *world, n int) { w.hosts[n].port.mute.Store(true) }, func(w *world, n int) { w.hosts[n].port.mute.Store(false) }},
	{"nothing reaches it", func(w *world, n int) { w.hosts[n].port.deaf.Store(true) }, func(w *world, n int) { w.hosts[n].port.deaf.Store(false) }},
	{"its link is slow", func(w *world, n int) { w.hosts[n].slow("256kbit") }, func(w *world, n int) { w.hosts[n].slowNoMore() }},
	{"its node is killed", func(w *world, n int) { w.nodes[n].kill() }, func(w *world, n int) { w.nodes[n].start() }},
	{"it loses power", (*world).losePower, (*world).regainPower},
	{"it moves", func(w *world, n int) {
		w.moves++
		w.hosts[n].move(fmt.Sprint("10.78.0.", 20+w.moves%200))
	}, func(w *world, _ int) {
		for m := range w.nodes {
			w.list(m, nil)
		}
	}},
}

// Three nodes exchange on a bad line, and all else befalls their hosts besides, one
// thing after the other or two at once, as the seed has it.
func TestAllTogether(t *testing.T) {
	if *exchanges == 0 {
		t.Skip("takes minutes: see -exchanges and -seed")
	}
	t.Parallel()
	w := newWorld(t, 3, *seed, func(o *nodeOrders) { o.Patient, o.Large = true, 20<<10 })
	w.cable.become(bad)
	random := rand.New(rand.NewPCG(*seed, 1))
	w.start()
	befell := map[string]int{}
	for w.completed() < *exchanges {
		goal := w.completed() + 1 + random.IntN(12)
		w.until("some exchanges more are complete", func() bool {
			all := 0
			for _, node := range w.nodes {
				all += node.said["done"]
			}
			return all >= goal
		})
		first, on := mishaps[random.IntN(len(mishaps))], random.IntN(len(w.hosts))
		second, other := mishaps[random.IntN(len(mishaps))], (on+1+random.IntN(len(w.hosts)-1))%len(w.hosts)
		both := random.IntN(3) == 0
		lasts := time.Duration(random.Int64N(int64(3 * time.Second)))
		first.begin(w, on)
		befell[first.name]++
		if both {
			second.begin(w, other)
			befell[second.name]++
		}
		time.Sleep(lasts)
		first.end(w, on)
		if both {
			second.end(w, other)
		}
	}
	w.finish()
	t.Logf("seed %d: %v; nodes dialled %d times", *seed, befell, w.total("dialled"))
}

// completed is how many exchanges have come to their end.
func (w *world) completed() int { return w.total("done") }

// total is how often all nodes have begun a line with a word.
func (w *world) total(word string) (n int) {
	for _, node := range w.nodes {
		n += node.count(word)
	}
	return n
}
