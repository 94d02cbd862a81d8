package attack

import (
	"context"
	"crypto/rand"
)

// send opens a stream, writes these bytes on it and waits for the node to end
// the connection.
func send(ctx context.Context, p *Peer, b []byte) {
	s, err := p.Open(ctx)
	if err != nil {
		return
	}
	if _, err := s.Write(b); err == nil {
		p.count.add(func(r *Report) { r.Sent++ })
	}
	untilLost(ctx, p)
}

// GarbageFrames sends random bytes behind the length of a header.
func GarbageFrames(ctx context.Context, a *Attacker) error {
	return a.connections(ctx, func(ctx context.Context, p *Peer) {
		header := make([]byte, 100)
		rand.Read(header) // never fails: crypto/rand
		header[0] = 0x0f  // a type that protobuf doesn't have: no header by chance
		send(ctx, p, append([]byte{byte(len(header))}, header...))
	})
}
