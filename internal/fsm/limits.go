package fsm

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-p2p/parley/internal/wire"
)

const (
	// burst bounds what a peer may begin at once, after it has been quiet for as
	// long: so many seconds' worth of ExchangesPerSecond and BytesPerSecond.
	burst = 10
	// episode bounds how often it is told that a peer has reached a limit: again
	// when it has kept below for as long.
	episode = time.Minute
	// maxRate and maxByteRate bound the rates that mean anything; beyond them there
	// is as good as no limit.
	maxRate, maxByteRate = 10_000_000, 1 << 50
)

// Limits are one peer's own. A zero field means the default, Config's.
type Limits struct {
	ExchangesPerSecond int
	BytesPerSecond     int64 // of its requests
	MaxOpen            int   // of its requests, stored and not ended
	MaxStored          int64 // bytes of them and, counted apart, of its replies
}

// limits fills in the defaults.
func (c *Config) limits(own Limits) Limits {
	return Limits{
		ExchangesPerSecond: min(cmp.Or(own.ExchangesPerSecond, c.ExchangesPerSecond), maxRate),
		BytesPerSecond:     min(cmp.Or(own.BytesPerSecond, c.BytesPerSecond), maxByteRate),
		MaxOpen:            cmp.Or(own.MaxOpen, c.MaxOpenPerPeer),
		MaxStored:          cmp.Or(own.MaxStored, c.MaxStoredPerPeer),
	}
}

// limit is what keeps a request from being taken now.
type limit uint8

const (
	none limit = iota
	tooManyASecond
	tooManyBytesASecond
	tooManyOpen
	tooManyBytes
	tooManyOpenInTotal
	tooManyBytesInTotal
	diskFull
	limitsInAll
)

// text names a limit for an operator: as Config does.
func (l limit) text(c *Config, own Limits) string {
	switch l {
	case tooManyASecond:
		return fmt.Sprintf("ExchangesPerSecond: %d begun by one peer", own.ExchangesPerSecond)
	case tooManyBytesASecond:
		return fmt.Sprintf("BytesPerSecond: %d bytes of one peer's requests", own.BytesPerSecond)
	case tooManyOpen:
		return fmt.Sprintf("MaxOpenPerPeer, or open on the allow list: %d of one peer's requests not ended", own.MaxOpen)
	case tooManyBytes:
		return fmt.Sprintf("MaxStoredPerPeer, or stored on the allow list: %d bytes of one peer's requests", own.MaxStored)
	case tooManyOpenInTotal:
		return fmt.Sprintf("MaxOpen: %d of all peers' requests not ended", c.MaxOpen)
	case tooManyBytesInTotal:
		return fmt.Sprintf("MaxStored: %d bytes of all peers' requests", c.MaxStored)
	case diskFull:
		return ErrDiskFull.Error()
	}
	return ""
}

// pace is how fast a peer asks, and which limits it has reached lately.
type pace struct {
	exchanges, bytes *rate.Limiter // nil until the first request
	// next is when the next request that is turned away is told to come back: each
	// has a place in time of its own, or else all came back in one moment.
	next  time.Time
	hit   [limitsInAll]time.Time // when last
	texts [limitsInAll]string
}

// setLimits gives a peer its limits. What it has used of the old ones counts.
func (m *Machine) setLimits(now time.Time, p *peer, own Limits) {
	p.limits = m.config.limits(own)
	if p.pace.exchanges != nil {
		p.pace.exchanges.SetLimitAt(now, rate.Limit(p.limits.ExchangesPerSecond))
		p.pace.exchanges.SetBurstAt(now, burst*p.limits.ExchangesPerSecond)
		p.pace.bytes.SetLimitAt(now, rate.Limit(p.limits.BytesPerSecond))
		p.pace.bytes.SetBurstAt(now, m.byteBurst(p))
	}
}

// byteBurst is never less than one request of the largest size: it would wait for
// ever.
func (m *Machine) byteBurst(p *peer) int {
	return int(max(burst*p.limits.BytesPerSecond, m.config.MaxMessageSize))
}

// inTime takes a request off what its peer may begin now. Otherwise it says which
// limit that would break, and when to come again.
func (m *Machine) inTime(now time.Time, p *peer, size int64) (limit, time.Duration) {
	if p.pace.exchanges == nil {
		p.pace.exchanges = rate.NewLimiter(rate.Limit(p.limits.ExchangesPerSecond), burst*p.limits.ExchangesPerSecond)
		p.pace.bytes = rate.NewLimiter(rate.Limit(p.limits.BytesPerSecond), m.byteBurst(p))
	}
	one, all := p.pace.exchanges.ReserveN(now, 1), p.pace.bytes.ReserveN(now, int(size))
	wait, waitBytes := one.DelayFrom(now), all.DelayFrom(now)
	if wait == 0 && waitBytes == 0 {
		if p.pace.exchanges.TokensAt(now) >= float64(p.limits.ExchangesPerSecond) {
			p.pace.next = time.Time{} // whoever was to come back hasn't
		}
		return none, 0
	}
	all.CancelAt(now)
	one.CancelAt(now)
	over := tooManyASecond
	if waitBytes > wait {
		over, wait = tooManyBytesASecond, waitBytes
	}
	at := now.Add(wait)
	if p.pace.next.After(at) {
		at = p.pace.next
	}
	if most := now.Add(m.config.PollMax); at.After(most) {
		at = most // a dialer heeds no more
	}
	p.pace.next = at.Add(max(time.Second/time.Duration(p.limits.ExchangesPerSecond), time.Duration(float64(size)/float64(p.limits.BytesPerSecond)*float64(time.Second))))
	return over, at.Sub(now).Truncate(time.Millisecond) + time.Millisecond // as the wire counts
}

// turnAway answers a request that can't be taken now, before anything of it is
// kept. The operator is told once until it has been well for a while.
func (m *Machine) turnAway(now time.Time, s *stream, f *wire.Frame, over limit, retryAfter time.Duration) {
	p := s.conn.peer
	m.stats.NacksSent++
	nack := wire.Frame{Kind: wire.Nack, Of: wire.OfRequest, Epoch: f.Epoch, Seq: f.Seq, Delay: wire.NoRoom, RetryAfter: max(retryAfter, m.config.RetryMin)}
	if f.Kind == wire.Cancel {
		nack.Of = wire.OfCancel
	}
	if over == tooManyASecond || over == tooManyBytesASecond {
		nack.Delay = wire.TooFast
	}
	m.send(s, nack, Payload{})
	if last := p.pace.hit[over]; last.IsZero() || now.Sub(last) > episode {
		p.pace.texts[over] = over.text(&m.config, p.limits)
		m.notice(Notice{Kind: PeerLimited, Peer: p.id, Address: s.conn.address, Detail: p.pace.texts[over], Time: now})
	}
	p.pace.hit[over] = now
}

// limited is the limit that a peer reached last, within an episode; empty: none.
func (p *pace) limited(now time.Time) string {
	var latest time.Time
	text := ""
	for l, at := range p.hit {
		if !at.IsZero() && now.Sub(at) <= episode && at.After(latest) {
			latest, text = at, p.texts[l]
		}
	}
	return text
}
