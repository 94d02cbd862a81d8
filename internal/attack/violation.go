package attack

import (
	"context"
	"crypto/rand"

	"github.com/parley-p2p/parley/internal/wire"
)

// Each of these breaks one rule of the protocol on one connection after another.

// GarbageFrames sends random bytes behind the length of a header.
func GarbageFrames(ctx context.Context, a *Attacker) error {
	header := make([]byte, 100)
	rand.Read(header) // never fails: crypto/rand
	header[0] = 0x0f  // a type that protobuf doesn't have: no header by chance
	return a.breaking(ctx, append([]byte{byte(len(header))}, header...))
}

// OversizeLength says that a header of 2 MiB follows.
func OversizeLength(ctx context.Context, a *Attacker) error {
	return a.breaking(ctx, []byte{0xff, 0xff, 0x7f})
}

// LongHeader sends a header that is well-formed and one byte longer than any may
// be.
func LongHeader(ctx context.Context, a *Attacker) error {
	const length = wire.MaxHeader + 1
	const unknown = 100<<3 | 2 // a field that a receiver skips: number 100, bytes
	header := []byte{length&0x7f | 0x80, length >> 7, unknown&0x7f | 0x80, unknown >> 7, 0xff, 0x1f}
	return a.breaking(ctx, append(header, make([]byte, length)...))
}

// WrongHash sends a request with a payload that its hash is not of.
func WrongHash(ctx context.Context, a *Attacker) error {
	request := Request(newEpoch(), 1, []byte("as promised"))
	request.Payload = []byte("as PROMISED")
	return a.breaking(ctx, nil, Hello(request.Epoch, 1), request)
}

// SequenceJump makes a request far beyond what a node remembers of a dialer.
func SequenceJump(ctx context.Context, a *Attacker) error {
	request := Request(newEpoch(), wire.MaxOpen+1, []byte("far away"))
	return a.breaking(ctx, nil, Hello(request.Epoch, 1), request)
}

// AckUnasked acknowledges a reply that there isn't: its request was made in the
// same write.
func AckUnasked(ctx context.Context, a *Attacker) error {
	request := Request(newEpoch(), 1, []byte("a request"))
	return a.breaking(ctx, nil, Hello(request.Epoch, 1), request, ack(wire.OfReply, request))
}

// TooMuchWithoutHello sends requests and no HELLO.
func TooMuchWithoutHello(ctx context.Context, a *Attacker) error {
	epoch := newEpoch()
	var all []Message
	for seq := range uint64(8) {
		all = append(all, Request(epoch, seq+1, []byte("who is it?")))
	}
	return a.breaking(ctx, nil, all...)
}

// breaking sends these bytes or frames and waits for the node to hang up.
func (a *Attacker) breaking(ctx context.Context, b []byte, messages ...Message) error {
	return a.connections(ctx, func(ctx context.Context, p *Peer) {
		s, err := p.Open(ctx)
		if err != nil {
			return
		}
		if len(messages) > 0 {
			err = s.Send(messages...)
		} else if _, err = s.Write(b); err == nil {
			p.count.add(func(r *Report) { r.Sent++ })
		}
		if err == nil {
			untilLost(ctx, p)
		}
	})
}

func ack(of wire.Of, m Message) Message {
	return Message{Frame: wire.Frame{Kind: wire.Ack, Of: of, Epoch: m.Epoch, Seq: m.Seq, Hash: m.Hash}}
}
