//go:build linux

package network

import (
	"testing"
	"time"
)

// some is how many exchanges each node completes before and after a fault.
const some = 20

// long is longer than all timeouts of a node after which it gives up a connection,
// as nodeOrders has them.
const long = 6 * time.Second

func TestALinkThatGoesDownAndUp(t *testing.T) {
	t.Parallel()
	for name, lasts := range map[string]time.Duration{"for a moment": 500 * time.Millisecond, "for longer than any timeout": long} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, 1, nil)
			w.start()
			w.more(some)
			w.hosts[0].ip("link set eth0 down")
			time.Sleep(lasts)
			w.hosts[0].ip("link set eth0 up")
			w.more(some)
			w.finish()
		})
	}
}

func TestAPartitionInOneDirection(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(p *port, blocked bool){
		"of what a host sends":      func(p *port, blocked bool) { p.mute.Store(blocked) },
		"of what is sent to a host": func(p *port, blocked bool) { p.deaf.Store(blocked) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, 1, nil)
			w.start()
			w.more(some)
			block(w.hosts[0].port, true)
			time.Sleep(long)
			block(w.hosts[0].port, false)
			w.more(some)
			w.finish()
		})
	}
}

func TestALineOnWhichFrames(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]line{
		"are lost":                    {loss: bad.loss},
		"come twice":                  {doubling: bad.doubling},
		"come late and out of order":  {delay: bad.delay},
		"suffer all that at the same": bad,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, 1, func(o *nodeOrders) { o.Patient = true })
			w.cable.become(l)
			w.start()
			w.more(some)
			w.finish()
		})
	}
}

// A message takes longer on such a link than an acknowledgement is waited for.
func TestASlowLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, func(o *nodeOrders) { o.Large = 100 << 10 })
	for _, h := range w.hosts {
		h.slow("1mbit")
	}
	w.start()
	w.more(some)
	w.finish()
}

func TestAPeerThatMoves(t *testing.T) {
	t.Parallel()
	for name, listed := range map[string]bool{"and is listed where it is now": true, "and dials from there": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, 1, nil)
			w.start()
			for n := range 2 {
				w.more(some)
				w.hosts[0].move([]string{"10.78.0.50", "10.78.0.51"}[n])
				if listed {
					w.list(1, nil)
				}
			}
			w.more(some)
			w.nodes[1].order("enough") // first: nobody could reach the other if that has nothing to ask
			w.until("the peer that stays has all replies", func() bool { return w.nodes[1].said["idle"] > 0 })
			w.finish()
		})
	}
}

// A host that goes dark takes its connections with it, and no FIN or RST tells the
// others. It comes back as if it had never been there, but for its disk.
func TestAHostThatLosesPower(t *testing.T) {
	t.Parallel()
	for name, lasts := range map[string]time.Duration{"for a moment": 0, "for longer than any timeout": long} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, 1, nil)
			w.start()
			w.more(some)
			w.losePower(0)
			time.Sleep(lasts)
			w.regainPower(0)
			w.more(some)
			w.finish()
		})
	}
}

// losePower leaves nothing of a host but its disk.
func (w *world) losePower(n int) {
	w.cable.unplug(w.hosts[n].port)
	w.nodes[n].kill()
	w.hosts[n].raze()
}

func (w *world) regainPower(n int) {
	w.hosts[n].build()
	w.nodes[n].start()
}
