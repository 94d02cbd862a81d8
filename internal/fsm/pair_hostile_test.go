package fsm

import (
	"fmt"
	"maps"
	"slices"

	"github.com/parley-p2p/parley/internal/wire"
)

const mallory = Peer("mallory")

// hostile is a peer on the allow list that knows every frame and no rule. Only
// frames that can be read get to a machine: the codec turns away the others.
type hostile struct {
	at       *side
	conns    []Conn
	streams  map[Stream]Conn  // of both sides, open
	offered  map[Stream]frame // its large payloads that aren't read yet
	accepted map[Stream]frame // … that are being read
	epoch    uint64
}

func newHostile(at *side) *hostile {
	return &hostile{at: at, epoch: theirEpoch, streams: map[Stream]Conn{}, offered: map[Stream]frame{}, accepted: map[Stream]frame{}}
}

// act is one step of it.
func (h *hostile) act(p *pair) {
	switch {
	case len(h.conns) == 0 || len(h.conns) < 3 && p.choose(16) == 1:
		if h.keptOut() {
			p.pause()
		}
		p.conns += 2
		h.conns = append(h.conns, p.conns)
		h.at.take(Connected{Conn: p.conns, Peer: mallory, Address: "nowhere"})
		h.say(p, hello(h.epoch, 1+uint64(p.choose(4))))
	case p.choose(20) == 1:
		h.leave(h.conns[p.choose(len(h.conns))])
	case p.choose(24) == 1:
		h.at.take(Violated{Conn: h.conns[p.choose(len(h.conns))], Rule: "a frame that can't be read"})
	case len(h.accepted) > 0 && p.choose(2) == 1:
		s := slices.Min(slices.Collect(maps.Keys(h.accepted)))
		f := h.accepted[s]
		delete(h.accepted, s)
		h.at.take(h.at.arrived(h.streams[s], s, f))
	default:
		h.say(p, h.frame(p))
	}
	for _, c := range slices.Clone(h.conns) {
		if there := h.at.m.conns[c]; there == nil || there.state == ConnClosing {
			h.leave(c)
		}
	}
}

func (h *hostile) keptOut() bool { return !h.at.m.keptOut(mallory, h.at.pair.now).IsZero() }

func (h *hostile) leave(c Conn) {
	h.conns = slices.DeleteFunc(h.conns, func(other Conn) bool { return other == c })
	for s, on := range h.streams {
		if on == c {
			h.forget(s)
		}
	}
	h.at.take(Disconnected{Conn: c, Err: errBroken})
}

// forget is the end of a stream.
func (h *hostile) forget(s Stream) {
	delete(h.streams, s)
	delete(h.offered, s)
	delete(h.accepted, s)
}

// sees is what the machine does about it.
func (h *hostile) sees(a Action) {
	switch a := a.(type) {
	case Accept:
		if f, ok := h.offered[a.Stream]; ok {
			delete(h.offered, a.Stream)
			h.accepted[a.Stream] = f
		}
	case Reset:
		h.forget(a.Stream)
	case Send:
		if slices.Contains(h.conns, a.Conn) {
			h.streams[a.Stream] = a.Conn
			if a.Frame.Kind == wire.Nack || a.Frame.Kind == wire.Reject {
				delete(h.offered, a.Stream)
			}
		}
	}
}

// say brings a frame as the P2P protocol does: nothing on a stream whose payload
// is still to come.
func (h *hostile) say(p *pair, f frame) {
	if _, err := f.AppendTo(nil); err != nil {
		return
	}
	c := h.conns[p.choose(len(h.conns))]
	s := h.streamOn(p, c)
	_, offered := h.offered[s]
	_, accepted := h.accepted[s]
	switch {
	case offered || accepted:
	case f.Kind != wire.Hello && f.PayloadSize() > wire.MaxInline:
		h.offered[s] = f
		h.at.take(Offered{Conn: c, Stream: s, Frame: f.Frame})
	default:
		h.at.take(h.at.arrived(c, s, f))
	}
}

// streamOn is one of a connection: that there is, of any side, or a new one.
func (h *hostile) streamOn(p *pair, c Conn) Stream {
	var open []Stream
	for s, on := range h.streams {
		if on == c {
			open = append(open, s)
		}
	}
	slices.Sort(open)
	if len(open) > 8 || len(open) > 0 && p.choose(3) != 1 {
		return open[p.choose(len(open))]
	}
	h.at.in += 2
	h.streams[h.at.in] = c
	return h.at.in
}

// frame is any that the codec lets through, often about what is really there.
func (h *hostile) frame(p *pair) frame {
	n := p.choose(256)
	f := wire.Frame{Kind: wire.Kind(1 + n%10), Epoch: h.epoch, Seq: 1 + uint64(p.choose(6))}
	d := &h.at.m.peer(mallory).dialer
	toDialer := f.Kind == wire.Welcome || f.Kind == wire.Continue || f.Kind == wire.Reply || n >= 128
	if toDialer && d.epoch != 0 {
		f.Epoch = d.epoch
		if x := d.open[f.Seq]; x != nil {
			f.Tag, f.Hash = x.name.Tag, x.payload.Hash
		}
	}
	switch n / 10 % 8 {
	case 1:
		f.Epoch++
	case 2:
		h.epoch++
	case 3:
		f.Seq += wire.MaxOpen - 2
	}
	text := fmt.Sprint("mallory ", f.Seq, n/64)
	switch f.Kind {
	case wire.Hello:
		return hello(f.Epoch, f.Seq+1, f.Seq)
	case wire.Request, wire.Resume:
		f.Tag, f.Lane, f.Low = tag(5000+int(f.Seq)), []string{"", "lane", "x"}[f.Seq%3], min(f.Seq, 1+uint64(n/100))
		f.Size = []uint64{20, 0, largeSize, 120_000}[n%4]
		f.Hash, f.Remaining = hashOf(text), second
	case wire.Cancel:
		f.Tag = tag(5000 + int(f.Seq))
	case wire.Welcome:
		f.Next, f.Seq = f.Seq-1, 0
	case wire.Reply:
		f.Size = []uint64{20, 0, largeSize, 120_000}[n/4%4]
		f.Hash = hashOf(text)
	case wire.Ack:
		f.Of, f.Delivered = wire.Of(1+n/32%3), n%2 == 1
	case wire.Nack:
		f.Of, f.Hash, f.Tag, f.Delay, f.RetryAfter = wire.Of(1+n/32%3), wire.Hash{}, wire.Tag{}, wire.NoRoom, second
	case wire.Reject:
		f.Of, f.Refusal = wire.Of(1+n/32%3), wire.Refusal(1+n/16%5)
		if f.Text = ""; f.Refusal == wire.Policy || f.Refusal == wire.TooLarge {
			f.Text = "no"
		}
		f.Hash, f.Known = hashOf(f.Text), f.Epoch+uint64(n%3)
	}
	return frame{f, nil}
}
