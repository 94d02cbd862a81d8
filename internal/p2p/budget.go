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
	// helloCost is how many frames a HELLO counts as: for it the machine goes
	// through all that is open with the peer.
	helloCost = 16
	// listCost is how many bytes of a HELLO's list count as one frame more: as many
	// sequences may stand in them.
	listCost = 64
	// payloadCost is how many bytes of a payload count as one frame more. To decrypt
	// and hash so many takes about as long as to take a frame.
	payloadCost = 16 << 10
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
	connections int // under Protocol.mu

	mu      sync.Mutex
	frames  *rate.Limiter
	rate    int // of frames
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
		b = &budget{p: p, id: c.id, member: c.member}
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

// take takes frames off what the peer may send now, and returns how long to wait for
// them; the caller who doesn't wait as long gives them back.
func (b *budget) take(frames int, now time.Time) (wait time.Duration, giveBack func()) {
	perSecond := cmp.Or(b.p.config.Allow.Limits(b.member).FramesPerSecond, b.p.config.FramesPerSecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.frames == nil {
		b.frames = rate.NewLimiter(rate.Limit(perSecond), frameBurst*perSecond)
	} else if b.rate != perSecond {
		b.frames.SetLimitAt(now, rate.Limit(perSecond))
		b.frames.SetBurstAt(now, frameBurst*perSecond)
	}
	b.rate = perSecond
	frames = min(frames, frameBurst*perSecond)
	if b.frames.AllowN(now, frames) {
		return 0, nil
	}
	r := b.frames.ReserveN(now, frames)
	if wait = r.DelayFrom(now); wait > 0 {
		b.hit(framesLimit, now, func() string { return fmt.Sprintf("FramesPerSecond: %d of one peer", perSecond) })
	}
	return wait, r.Cancel
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

// pay has the stream wait until its peer may send so many frames. While it waits
// nothing is read of it, which holds the peer up when its window is full; and no
// deadline runs, since it isn't the peer who is late.
func (s *stream) pay(frames int) error {
	wait, giveBack := s.c.budget.take(frames, time.Now())
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.broken:
		giveBack()
		return errReset
	case <-s.c.over:
		giveBack()
		return errClosed
	}
}
