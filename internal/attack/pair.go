package attack

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// These say of exchanges, as their dialer, what isn't so or isn't wanted.

// Replays makes requests, has them answered, and then sends every one of them
// again: as it was, as a resumption, and once more as it was.
func Replays(ctx context.Context, a *Attacker) error {
	return a.answered(ctx, func(ctx context.Context, p *Peer, request Message) error {
		for _, m := range []Message{request, Resume(request), request} {
			if _, err := p.ask(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReusedTags makes requests, has them answered, and gives the tag of each, which
// names it for ever, to another.
func ReusedTags(ctx context.Context, a *Attacker) error {
	return a.answered(ctx, func(ctx context.Context, p *Peer, request Message) error {
		// Its end isn't known before it is refused: acknowledgements on other
		// streams may be on their way.
		for said := wire.Ack; said != wire.Reject && ctx.Err() == nil; {
			var err error
			if said, err = p.ask(ctx, request); err != nil {
				return err
			}
		}
		request.Seq++
		return p.complete(ctx, request)
	})
}

// answered runs f for requests that were made and answered, with every other
// sequence.
func (a *Attacker) answered(ctx context.Context, f func(context.Context, *Peer, Message) error) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		epoch, welcome := p.greet(ctx)
		for seq := uint64(1); welcome && a.next(ctx); seq += 2 {
			request := Request(epoch, seq, fmt.Append(nil, "request ", seq))
			if p.complete(ctx, request) != nil || f(ctx, p, request) != nil {
				return
			}
		}
	})
}

// complete makes a request, waits for its reply and acknowledges it.
func (p *Peer) complete(ctx context.Context, request Message) error {
	s, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer s.CloseWrite()
	if err := s.Send(request); err != nil {
		return err
	}
	for {
		m, err := s.Next()
		if err != nil {
			return err
		}
		if m.Kind == wire.Reply {
			return s.Send(ack(wire.OfReply, m))
		}
	}
}

// CancelEveryOther makes requests and cancels every second one as soon as it is
// acknowledged. The others' replies it acknowledges.
func CancelEveryOther(ctx context.Context, a *Attacker) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		epoch, welcome := p.greet(ctx)
		if !welcome {
			return
		}
		var running sync.WaitGroup
		running.Go(func() { p.collect() })
		for seq := uint64(1); a.next(ctx); seq++ {
			request := Request(epoch, seq, fmt.Append(nil, "request ", seq))
			_, err := p.ask(ctx, request)
			if err == nil && seq%2 == 0 {
				_, err = p.ask(ctx, Message{Frame: wire.Frame{Kind: wire.Cancel, Epoch: epoch, Seq: seq, Tag: request.Tag}})
			}
			if err != nil {
				break
			}
		}
		p.Close()
		running.Wait()
	})
}

// unanswered is how long an answer is waited for that needn't come.
const unanswered = 100 * time.Millisecond

// ReplyUnasked sends a reply to a request that the node never made.
func ReplyUnasked(ctx context.Context, a *Attacker) error {
	reply := Request(newEpoch(), 1, []byte("you asked"))
	reply.Frame = wire.Frame{Kind: wire.Reply, Epoch: reply.Epoch, Seq: 1, Tag: reply.Tag, Hash: reply.Hash, Size: reply.Size}
	return a.connections(ctx, func(ctx context.Context, p *Peer) {
		s, err := p.Open(ctx)
		if err != nil || s.Send(reply) != nil {
			return
		}
		s.SetDeadline(time.Now().Add(unanswered))
		s.Next() // an answer, or the end of the stream
	})
}

// NeverReads makes requests of 32 KiB and reads nothing at all: not from its
// streams, not from its socket.
func NeverReads(ctx context.Context, a *Attacker) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		epoch, welcome := p.greet(ctx)
		if !welcome {
			return
		}
		p.valve.shut()
		body := make([]byte, 32<<10)
		for seq := uint64(1); a.next(ctx); seq++ {
			s, err := p.Open(ctx)
			if err != nil || s.Send(Request(epoch, seq, body)) != nil {
				break
			}
		}
		untilLost(ctx, p)
	})
}
