package attack

import (
	"context"
	"net"
	"sync"

	"github.com/parley-p2p/parley/identity"
)

// Listen waits for a node to dial: for attacks by whom it asks something. The
// address is host:port; port 0 takes a free one.
func Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// accepted runs f for each socket that is accepted, until the context ends, and
// returns when all have ended.
func (a *Attacker) accepted(ctx context.Context, f func(net.Conn)) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer context.AfterFunc(ctx, func() { a.Listener.Close() })()
	for {
		c, err := a.Listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		a.count.add(func(r *Report) { r.Attempts++ })
		running.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			f(c)
		})
	}
}

// serve runs f on each connection: on those that the node dials if there is a
// listener, else on one after another that the attacker dials.
func (a *Attacker) serve(ctx context.Context, f func(context.Context, *Peer)) error {
	if a.Listener == nil {
		return a.reconnecting(ctx, f)
	}
	return a.accepted(ctx, func(c net.Conn) {
		p, err := newPeer(ctx, c, identity.ID{}, a.Key, &a.count)
		if err != nil {
			a.count.add(func(r *Report) { r.Refused++ })
			return
		}
		defer p.Close()
		f(ctx, p)
		if ctx.Err() == nil && p.session.IsClosed() {
			a.count.add(func(r *Report) { r.Lost++ })
		}
	})
}

// SilentListener accepts connections and says nothing on them. Without a listener
// it connects and says nothing.
func SilentListener(ctx context.Context, a *Attacker) error {
	if a.Listener == nil {
		return a.reconnecting(ctx, untilLost)
	}
	return a.accepted(ctx, hold)
}

// WrongKey proves another key than that of the peer for whom it is dialled: it
// takes the attacker's, which should not be the peer's. It reads what comes.
func WrongKey(ctx context.Context, a *Attacker) error {
	return a.serve(ctx, a.responder(func(*Stream, Message) error { return nil }))
}
