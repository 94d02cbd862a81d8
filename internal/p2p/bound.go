package p2p

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// noticeInterval bounds how often it is told that connections are being refused by
// their address: at the first, and then how many came since. A limit that wasn't
// reached for as long is told at once again.
const noticeInterval = 10 * time.Second

// bound is a limit on connections that haven't proved a key. Knocking costs nearly
// nothing, so that refusing mustn't either: hits are counted, and told together.
type bound struct {
	kind   fsm.NoticeKind
	reason error

	// Under gate.mu.
	hits   int // not told yet
	from   netip.AddrPort
	active bool // hit lately: what is counted will be told
}

// bounds are those of the gate, in the order in which they are asked.
type bounds struct {
	unlisted, perIP, crowded, connections, pending, arrivals, handshakes bound

	perPeer error // the one on peers that have proved a key
}

func newBounds(c Config) bounds {
	limit := func(format string, value int) bound {
		return bound{kind: fsm.ConnectionLimit, reason: fmt.Errorf("%w: "+format, ErrConnectionLimit, value)}
	}
	return bounds{
		unlisted:    bound{kind: fsm.StrangerRefused, reason: fmt.Errorf("%w: ListedAddressesOnly, and the list names no such address", fsm.ErrNotListed)},
		perIP:       limit("MaxConnectionsPerIP: %d from one IP", c.MaxConnectionsPerIP),
		crowded:     limit("MaxPendingHandshakes: half are taken, and %d from one IP", maxPendingPerPlace),
		connections: limit("MaxConnections: %d in total", c.MaxConnections),
		pending:     limit("MaxPendingHandshakes: %d that have not proved a key", c.MaxPendingHandshakes),
		arrivals:    limit("MaxArrivalsPerSecondPerIP: %d connections a second from one IP", c.MaxArrivalsPerSecondPerIP),
		handshakes:  limit("MaxHandshakesPerSecond: %d a second from unfamiliar places", c.MaxHandshakesPerSecond),
		perPeer:     fmt.Errorf("%w: MaxConnectionsPerPeer: %d with one peer", ErrConnectionLimit, c.MaxConnectionsPerPeer),
	}
}

// hit counts a refusal, and tells it if it is the first for a while. gate.mu is held.
func (b *bound) hit(g *gate, from netip.AddrPort) {
	b.hits++
	b.from = from
	if !b.active {
		b.active = true
		b.tell(g)
	}
}

// tell posts how often the bound was hit since it was told last.
func (b *bound) tell(g *gate) {
	g.notices.post(fsm.Notice{Kind: b.kind, Address: addressOf(b.from), Detail: b.reason.Error(), Count: b.hits})
	b.hits = 0
	time.AfterFunc(noticeInterval, func() { // one for each handler and bound
		g.mu.Lock()
		defer g.mu.Unlock()
		if b.active = b.hits > 0; b.active {
			b.tell(g)
		}
	})
}
