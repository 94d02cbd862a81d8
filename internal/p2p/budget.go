package p2p

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

const (
	// frameBurst bounds what a peer may send at once, in seconds' worth of its
	// FramesPerSecond. Beyond it reading waits.
	frameBurst = 10
	// streamCost is how many frames the opening of a stream counts as: a goroutine,
	// a buffer and the negotiation of the protocol.
	streamCost = 8
	// helloCost is how many frames a HELLO counts as: for it the machine goes
	// through all that is open with the peer.
	helloCost = 16
	// listCost is how many bytes of a HELLO's list count as one frame more: as many
	// sequences may stand in them.
	listCost = 64
	// payloadCost is how many bytes of a payload count as one frame more. To decrypt
	// and hash so many takes about as long as to take a frame.
	payloadCost = 16 << 10
	// maxDoze bounds how long a wait for the rate goes on until the rate is asked
	// again: whoever waits when the limit is raised has waited this much longer at most.
	maxDoze = time.Second
	// limitedFor bounds how often it is told that a peer has reached a limit: again
	// when it has kept below for as long.
	limitedFor = time.Minute
	// maxBudgets bounds the peers remembered that aren't connected, so that nobody
	// has a new burst for each connection. Beyond it any of them is forgotten.
	maxBudgets = 4096
)

// budget is what one peer may use over all its connections.
type budget struct {
	p           *Protocol
	id          peer.ID
	member      identity.ID
	connections int           // under Protocol.mu
	turn        chan struct{} // taken by the stream whose turn it is to wait for frames
	inHand      chan struct{} // taken by what is in hand of the peer, at most maxInHandPerPeer
	first       chan struct{} // taken by one of it, which doesn't count for maxInHand

	mu      sync.Mutex
	frames  *rate.Limiter
	rate    int // of frames
	waiting int // streams that wait for frames, for their turn or in it
	streams int // open, that the peer opened
	hits    [2]hits
}

// hits is how often a limit was reached.
type hits struct {
	last  time.Time
	count int // since the last notice
}

const (
	framesLimit = iota
	streamsLimit
)

// budgetOf finds the budget of a peer that a connection comes of. p.mu is held.
func (p *Protocol) budgetOf(c *connection) *budget {
	b := p.budgets[c.id]
	if b == nil {
		for id, other := range p.budgets {
			if len(p.budgets) < maxBudgets {
				break
			}
			if other.connections == 0 {
				delete(p.budgets, id)
			}
		}
		b = &budget{
			p: p, id: c.id, member: c.member,
			turn:   make(chan struct{}, 1),
			inHand: make(chan struct{}, maxInHandPerPeer),
			first:  make(chan struct{}, 1),
		}
		p.budgets[c.id] = b
	}
	b.connections++
	return b
}

// cost is how many frames a frame counts as, with what is read at once of its
// payload. A large one is paid by the piece.
func cost(f wire.Frame) int {
	switch size := f.PayloadSize(); {
	case f.Kind == wire.Hello:
		return helloCost + int(min(size, wire.MaxHello)/listCost)
	case size <= wire.MaxInline:
		return 1 + costOf(size)
	}
	return 1
}

// costOf is how many frames so many bytes of payload count as.
func costOf(bytes uint64) int {
	return int(min(bytes/payloadCost, 1<<30))
}

// take takes frames off what the peer may send now, unless streams wait for some
// already: then this one waits behind them, until it calls leave.
func (b *budget) take(frames int, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	perSecond := b.adjust(now)
	if b.waiting == 0 && b.frames.AllowN(now, min(frames, frameBurst*perSecond)) {
		return true
	}
	b.waiting++
	b.hit(framesLimit, now, func() string { return fmt.Sprintf("FramesPerSecond: %d of one peer", perSecond) })
	return false
}

// missing takes frames for the stream whose turn it is, or returns how long until
// there are as many. None are taken before, so that whoever gives up has cost the
// peer nothing.
func (b *budget) missing(frames int, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	perSecond := b.adjust(now)
	r := b.frames.ReserveN(now, min(frames, frameBurst*perSecond))
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now) // whole: nothing was reserved since
	}
	return wait
}

// adjust has the rate be what the allow list says now. b.mu is held.
func (b *budget) adjust(now time.Time) (perSecond int) {
	perSecond = cmp.Or(b.p.config.Allow.Limits(b.member).FramesPerSecond, b.p.config.FramesPerSecond)
	if b.frames == nil {
		b.frames = rate.NewLimiter(rate.Limit(perSecond), frameBurst*perSecond)
	} else if b.rate != perSecond {
		b.frames.SetLimitAt(now, rate.Limit(perSecond))
		b.frames.SetBurstAt(now, frameBurst*perSecond)
	}
	b.rate = perSecond
	return perSecond
}

// leave ends the wait of a stream.
func (b *budget) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

// openStream counts a stream that the peer opened, unless it has too many.
func (b *budget) openStream(now time.Time) bool {
	limit := b.p.config.Allow.Limits(b.member).MaxStreams
	b.mu.Lock()
	defer b.mu.Unlock()
	if limit > 0 && b.streams >= limit {
		b.hit(streamsLimit, now, func() string { return fmt.Sprintf("MaxStreams: %d opened by one peer", limit) })
		return false
	}
	b.streams++
	return true
}

func (b *budget) closeStream() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams--
}

// hit counts that a limit was reached, and tells it if it wasn't for a while. b.mu
// is held.
func (b *budget) hit(limit int, now time.Time, text func() string) {
	h := &b.hits[limit]
	first := h.last.IsZero() || now.Sub(h.last) > limitedFor
	h.last = now
	h.count++
	if first {
		b.p.notices.post(fsm.Notice{Kind: fsm.PeerLimited, Peer: peerOf(b.id), Detail: text(), Count: h.count})
		h.count = 0
	}
}

// pay has the stream wait until its peer may send so many frames, one stream after
// the other. While it waits nothing is read of it, which holds the peer up when its
// window is full; and no deadline runs, since it isn't the peer who is late.
func (s *stream) pay(frames int) error {
	b := s.c.budget
	if b.take(frames, time.Now()) {
		return nil
	}
	defer b.leave()
	if err := s.await(b.turn); err != nil {
		return err
	}
	defer func() { <-b.turn }()
	for {
		wait := b.missing(frames, time.Now())
		if wait <= 0 {
			return nil
		}
		if err := s.doze(min(wait, maxDoze)); err != nil {
			return err
		}
	}
}

// doze waits for so long, unless the stream ends before.
func (s *stream) doze(wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.broken:
		return errReset
	case <-s.c.over:
		return errClosed
	}
}
