package attack

import (
	"context"
	"crypto/sha256"
	"math"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// These are asked something, on connections that the node dials where the
// attacker has a listener, else on one that the attacker dials.

// AckWithoutReply acknowledges every request and never answers.
func AckWithoutReply(ctx context.Context, a *Attacker) error {
	return a.serve(ctx, a.responder(func(s *Stream, request Message) error {
		if request.Kind == wire.Resume {
			return s.Send(Message{Frame: wire.Frame{Kind: wire.Continue, Epoch: request.Epoch, Seq: request.Seq}})
		}
		return s.Send(ack(wire.OfRequest, request))
	}))
}

// NackForever has no room, ever, and asks for the longest delay there is.
func NackForever(ctx context.Context, a *Attacker) error {
	const longest = math.MaxInt64 / time.Millisecond * time.Millisecond
	return a.serve(ctx, a.responder(func(s *Stream, request Message) error {
		return s.Send(Message{Frame: wire.Frame{
			Kind: wire.Nack, Of: wire.OfRequest, Epoch: request.Epoch, Seq: request.Seq, Delay: wire.NoRoom, RetryAfter: longest,
		}})
	}))
}

// HugeReplies answers every request with a reply that is said to be of 4 GiB, and
// sends a mebibyte of it.
func HugeReplies(ctx context.Context, a *Attacker) error {
	return a.serve(ctx, a.responder(func(s *Stream, request Message) error {
		reply := Message{wire.Frame{
			Kind: wire.Reply, Epoch: request.Epoch, Seq: request.Seq, Tag: request.Tag, Hash: sha256.Sum256(nil), Size: 4 << 30,
		}, make([]byte, 1<<20)}
		return s.Send(ack(wire.OfRequest, request), reply)
	}))
}

// responder answers HELLO as it should be and every REQUEST and RESUME by f.
func (a *Attacker) responder(f func(*Stream, Message) error) func(context.Context, *Peer) {
	return func(ctx context.Context, p *Peer) {
		if a.Listener == nil { // or the node would take it for idle
			if _, welcome := p.greet(ctx); !welcome {
				return
			}
		}
		p.streams(func(s *Stream) {
			for {
				m, err := s.Next()
				if err == nil && m.Kind == wire.Hello {
					err = s.Send(Message{Frame: wire.Frame{Kind: wire.Welcome, Epoch: m.Epoch, Next: m.Next - 1}})
				} else if err == nil && (m.Kind == wire.Request || m.Kind == wire.Resume) {
					err = f(s, m)
				}
				if err != nil {
					return
				}
			}
		})
	}
}
