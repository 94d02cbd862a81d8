//go:build linux

package network

import (
	"net/netip"
	"testing"
	"time"
)

// forwarded is a world of two hosts that reach each other by way of a third only.
type forwarded struct {
	*world
	to [2]*forwarder // each node
}

func newForwarded(t testing.TB, change func(*nodeOrders)) *forwarded {
	t.Helper()
	f := &forwarded{world: newWorld(t, 2, 1, change)}
	middle := newHost(t, f.cable, "10.78.0.100")
	for n := range f.to {
		port := uint16(4101 + n)
		f.to[n] = newForwarder(middle, port, netip.AddrPortFrom(f.hosts[n].address, port4001))
		f.list(1-n, map[int]netip.AddrPort{n: netip.AddrPortFrom(middle.address, port)})
	}
	return f
}

// become changes the weather of both ways of dialling.
func (f *forwarded) become(w weather) {
	for _, to := range f.to {
		to.become(w)
	}
}

// mute lets nothing pass that node 1 sends, whoever dialled.
func (f *forwarded) mute() {
	f.to[1].become(weather{swallow: [2]bool{there: true}})
	f.to[0].become(weather{swallow: [2]bool{back: true}})
}

func TestAPartitionInOneDirectionOfTCP(t *testing.T) {
	t.Parallel()
	f := newForwarded(t, nil)
	f.start()
	f.more(some)
	f.mute()
	time.Sleep(6 * time.Second) // longer than the disconnection timeout
	f.become(weather{})
	f.more(some)
	f.finish()
}

func TestConnectionsThatAreCutAndResetAndHalfClosed(t *testing.T) {
	t.Parallel()
	f := newForwarded(t, nil)
	f.start()
	for range 3 {
		for _, how := range []ending{cut, reset, halfClose} {
			f.more(5)
			f.to[0].end(how)
			f.more(5)
			f.to[1].end(how)
		}
	}
	f.more(some)
	f.finish()
}

func TestConnectionsThatAreStalled(t *testing.T) {
	t.Parallel()
	f := newForwarded(t, nil)
	f.start()
	for _, lasts := range []time.Duration{100 * time.Millisecond, 1500 * time.Millisecond, 6 * time.Second} {
		f.more(some)
		f.become(weather{stalled: true})
		time.Sleep(lasts)
		f.become(weather{})
	}
	f.more(some)
	f.finish()
}

func TestConnectionsOnWhichBytesTrickle(t *testing.T) {
	t.Parallel()
	f := newForwarded(t, nil)
	f.start()
	f.more(some)
	f.become(weather{piece: 7, pause: time.Millisecond})
	f.more(some)
	f.finish()
}
