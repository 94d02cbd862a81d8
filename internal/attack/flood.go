package attack

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/parley-p2p/parley/internal/wire"
)

// None of these floods breaks the protocol. They go as fast as the node takes
// them, and heed nothing that it says.

const (
	lanes  = 128    // requests that a flood has on their way at once
	behind = 30_000 // sequences of which a flood keeps the node remembering, at most
	volley = 256    // frames in one write
)

// RequestFlood makes requests, each in a lane of its own, and heeds no
// retry-after. It acknowledges the replies that come and waits for none.
func RequestFlood(ctx context.Context, a *Attacker) error {
	return a.asking(ctx, func(epoch, seq uint64) Message { return Request(epoch, seq, []byte("flood")) })
}

// ResumeFlood announces requests of a MiB, each of which has the node reserve
// room, and sends none.
func ResumeFlood(ctx context.Context, a *Attacker) error {
	return a.asking(ctx, func(epoch, seq uint64) Message {
		m := Resume(Request(epoch, seq, nil))
		m.Size, m.Hash = 1<<20, wire.Hash{1}
		return m
	})
}

// asking makes many requests at once, each once.
func (a *Attacker) asking(ctx context.Context, request func(epoch, seq uint64) Message) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		epoch, welcome := p.greet(ctx)
		if !welcome {
			return
		}
		var seq atomic.Uint64
		var running sync.WaitGroup
		running.Go(func() { p.collect() })
		running.Go(func() {
			defer p.Close()
			several(lanes, func() error {
				for a.next(ctx) {
					m := request(epoch, seq.Add(1))
					if m.Seq > behind {
						m.Low = m.Seq - behind
					}
					if _, err := p.ask(ctx, m); err != nil {
						return err
					}
				}
				return nil
			})
		})
		running.Wait()
	})
}

// greet begins as a dialer that has asked nothing yet, and returns its epoch
// once the node has welcomed it: a greater one where that is asked for.
func (p *Peer) greet(ctx context.Context) (epoch uint64, welcome bool) {
	s, err := p.Open(ctx)
	if err != nil {
		return 0, false
	}
	defer s.CloseWrite()
	for epoch = newEpoch(); s.Send(Hello(epoch, 1)) == nil; {
		m, err := s.Next()
		if err != nil || m.Kind != wire.Reject {
			return epoch, err == nil
		}
		epoch = m.Known + 1
	}
	return 0, false
}

// ask sends a request on a stream of its own, reads what the node first says of
// it and the reply if that came with it, and is done with the stream. It returns
// the kind of the last frame, 0 if there was none; the error is the end of the
// connection.
func (p *Peer) ask(ctx context.Context, request Message) (wire.Kind, error) {
	s, err := p.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Reset()
	if err := s.Send(request); err != nil {
		return 0, p.over(err)
	}
	for {
		m, err := s.Next()
		switch {
		case err != nil:
			return 0, p.over(err)
		case m.Kind == wire.Reply:
			return m.Kind, p.over(s.Send(ack(wire.OfReply, m)))
		case m.Kind == wire.Ack && s.in.Buffered() > 0:
		default:
			return m.Kind, nil
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

// collect acknowledges replies that come on streams of the node, until the
// connection ends.
func (p *Peer) collect() {
	p.streams(func(s *Stream) {
		for {
			m, err := s.Next()
			if err != nil {
				return
			}
			switch m.Kind {
			case wire.Hello:
				err = s.Send(Message{Frame: wire.Frame{Kind: wire.Welcome, Epoch: m.Epoch, Next: m.Next - 1}})
			case wire.Reply:
				err = s.Send(ack(wire.OfReply, m))
			}
			if err != nil {
				return
			}
		}
	})
}

// streams runs f for every stream that the node opens, and ends the stream
// behind it. It returns when the connection has ended and every f has.
func (p *Peer) streams(f func(*Stream)) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		s, err := p.Accept()
		if err != nil {
			if p.session.IsClosed() {
				return
			}
			continue
		}
		running.Go(func() {
			f(s)
			s.muxed.Close()
		})
	}
}

// StreamFlood opens streams and says nothing on them.
func StreamFlood(ctx context.Context, a *Attacker) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		for a.next(ctx) {
			s, err := p.session.OpenStream(ctx)
			if err != nil {
				return
			}
			p.count.add(func(r *Report) { r.Streams++ })
			// A stream exists for the other side once something is written on it.
			if _, err := s.Write([]byte{0x13}); err != nil && p.session.IsClosed() {
				return
			}
		}
	})
}

// HelloFlood sends HELLOs that say the same again and again.
func HelloFlood(ctx context.Context, a *Attacker) error {
	return a.volleys(ctx, func(epoch uint64) Message { return Hello(epoch, 1) })
}

// FrameFlood sends the cheapest frame there is, one that the node ignores: a
// WELCOME of an epoch long past.
func FrameFlood(ctx context.Context, a *Attacker) error {
	return a.volleys(ctx, func(uint64) Message { return Message{Frame: wire.Frame{Kind: wire.Welcome, Epoch: 1}} })
}

// EpochJumps begins a new epoch with every HELLO.
func EpochJumps(ctx context.Context, a *Attacker) error {
	var jumps atomic.Uint64
	return a.volleys(ctx, func(epoch uint64) Message { return Hello(epoch+jumps.Add(1), 1) })
}

// volleys sends frames, many in a write, on one stream as long as the node lets
// it be. Times counts the writes.
func (a *Attacker) volleys(ctx context.Context, frame func(epoch uint64) Message) error {
	return a.reconnecting(ctx, func(ctx context.Context, p *Peer) {
		epoch, welcome := p.greet(ctx)
		for welcome && !p.session.IsClosed() && ctx.Err() == nil && !a.done() {
			s, err := p.Open(ctx)
			if err != nil {
				return
			}
			a.fire(ctx, s, func() Message { return frame(epoch) })
		}
	})
}

// fire sends frames on a stream and reads what comes back, until the stream has
// ended or it has been done often enough.
func (a *Attacker) fire(ctx context.Context, s *Stream, frame func() Message) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for {
			if _, err := s.Next(); err != nil {
				return
			}
		}
	})
	all := make([]Message, volley)
	for a.next(ctx) {
		for i := range all {
			all[i] = frame()
		}
		if s.Send(all...) != nil {
			s.Reset()
			return
		}
	}
	s.CloseWrite()
}
