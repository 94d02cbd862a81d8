package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	faultsPerLink = 6
	// exchangeBytes is less than what an exchange takes on a link, besides its
	// padding: so that all faults of a link come while it is in use.
	exchangeBytes = 800
	stallMin      = 100 * time.Millisecond
	stallMax      = 3 * time.Second // longer than it takes to find a connection dead
	forwardBuffer = 16 << 10
)

// fault is what a link does to the connection that carries a certain byte.
type fault struct {
	kind  faultKind
	at    int64         // how many bytes pass before it, in both directions and on all connections
	lasts time.Duration // of a stall
}

type faultKind string

const (
	cut       faultKind = "cut"        // closed at both ends
	reset     faultKind = "reset"      // the same, by RST: what is on its way is lost
	stall     faultKind = "stall"      // nothing passes for a while; then it does, late
	halfClose faultKind = "half-close" // this direction ends, the other goes on
)

var faultKinds = []faultKind{cut, reset, stall, halfClose}

// drawFaults draws what a link does while so many bytes pass.
func drawFaults(rng *rand.Rand, bytes int64) []fault {
	faults := make([]fault, faultsPerLink)
	for i := range faults {
		faults[i] = fault{
			kind: faultKinds[rng.IntN(len(faultKinds))], at: rng.Int64N(bytes),
			lasts: stallMin + time.Duration(rng.Int64N(int64(stallMax-stallMin))),
		}
	}
	slices.SortFunc(faults, func(a, b fault) int { return int(a.at - b.at) })
	return faults
}

// link is what two members have between them: TCP forwarders in both directions
// of dialling, and the faults that come as bytes pass.
type link struct {
	tell func(fault)

	mu     sync.Mutex
	passed int64
	faults []fault // to come, ascending
}

// pass takes some of n bytes, up to the next fault, which is then due.
func (l *link) pass(n int) (taken int, due *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) == 0 || l.passed+int64(n) <= l.faults[0].at {
		l.passed += int64(n)
		return n, nil
	}
	next := l.faults[0]
	taken = int(next.at - l.passed)
	l.passed, l.faults = next.at, l.faults[1:]
	return taken, &next
}

// path is one direction of a link: who dials whom.
type path struct {
	link     *link
	listener net.Listener
	from     netip.Addr // as which the target sees who dials
	target   string
}

// forward accepts connections until ctx ends, and passes on what they carry to
// the target and back.
func (p path) forward(ctx context.Context) error {
	stopped := context.AfterFunc(ctx, func() { p.listener.Close() })
	defer stopped()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.from, 0))}
	var open sync.WaitGroup
	defer open.Wait()
	for {
		near, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				near.Close()
			}
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			far, err := dialer.DialContext(ctx, "tcp", p.target)
			if err != nil { // the member is down, and so is what leads to it
				hangUp(near.(*net.TCPConn))
				return
			}
			p.link.relay(ctx, near.(*net.TCPConn), far.(*net.TCPConn))
		})
	}
}

// hangUp closes a connection by RST.
func hangUp(c *net.TCPConn) {
	c.SetLinger(0) // an error of these says that it is closed already
	c.Close()
}

// relay is one connection through a link.
type relay struct {
	link      *link
	near, far *net.TCPConn
	over      chan struct{}
	end       func(hard bool) // of both sockets

	mu      sync.Mutex
	stalled time.Time // until then
}

// relay passes on what the two sockets carry, until both directions have ended.
func (l *link) relay(ctx context.Context, near, far *net.TCPConn) {
	r := &relay{link: l, near: near, far: far, over: make(chan struct{})}
	var once sync.Once
	r.end = func(hard bool) {
		once.Do(func() {
			close(r.over)
			for _, c := range []*net.TCPConn{near, far} {
				if hard {
					c.SetLinger(0)
				}
				c.Close()
			}
		})
	}
	stopped := context.AfterFunc(ctx, func() { r.end(true) })
	defer stopped()
	var directions sync.WaitGroup
	directions.Go(func() { r.pump(near, far) })
	directions.Go(func() { r.pump(far, near) })
	directions.Wait()
	r.end(false)
}

// pump passes on one direction.
func (r *relay) pump(from, to *net.TCPConn) {
	buffer := make([]byte, forwardBuffer)
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			taken, due := r.link.pass(len(rest))
			r.wait()
			if _, err := to.Write(rest[:taken]); err != nil {
				r.end(true)
				return
			}
			rest = rest[taken:]
			if due == nil {
				continue
			}
			r.link.tell(*due)
			switch due.kind {
			case cut:
				r.end(false)
				return
			case reset:
				r.end(true)
				return
			case halfClose:
				to.CloseWrite() // an error says that it is closed already
				return
			case stall:
				r.stall(due.lasts)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			r.wait()
			to.CloseWrite()
			return
		case err != nil:
			r.end(true)
			return
		}
	}
}

func (r *relay) stall(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = time.Now().Add(d)
}

// wait returns when the connection isn't stalled.
func (r *relay) wait() {
	for {
		r.mu.Lock()
		left := time.Until(r.stalled)
		r.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-r.over:
			return
		}
	}
}
