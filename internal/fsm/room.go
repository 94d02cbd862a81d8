package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// room is what is taken of the limits in total. Requests and replies have
// budgets of their own, or else two nodes with full stores would wait for each
// other. Every listed peer may always have one request stored here, and one
// reply, whatever others have filled: the total can pass its limit by one
// message of the largest size for each. Where everyone is admitted there is no such
// promise: strangers cost nothing.
type room struct {
	queuedBytes  int64 // of the requests of exchanges made here and not ended
	replyBytes   int64 // of replies that the application hasn't committed
	asideBytes   int64 // of these, torn peers': nobody can commit them yet
	open         int   // exchanges of peers, not ended
	requestBytes int64 // of their requests that aren't answered
	full         bool  // the disk: nothing is accepted
}

// SetFull says whether the disk has room for more. While it hasn't, nothing new
// is accepted; what is there already goes on.
func (m *Machine) SetFull(now time.Time, full bool) {
	if full && !m.room.full {
		m.notice(Notice{Kind: JournalTrouble, Detail: ErrDiskFull.Error(), Time: now})
	}
	m.room.full = full
}

// forRequest is what keeps a peer's request from being stored; none: nothing.
func (r *room) forRequest(c *Config, p *peer, size int64, everyone bool) limit {
	side := &p.responder
	switch {
	case r.full:
		return diskFull
	case len(side.open) == 0 && !everyone:
		return none
	case len(side.open) >= p.limits.MaxOpen:
		return tooManyOpen
	case side.stored+size > p.limits.MaxStored:
		return tooManyBytes
	case r.open >= c.MaxOpen:
		return tooManyOpenInTotal
	case r.requestBytes+size > c.MaxStored:
		return tooManyBytesInTotal
	}
	return none
}

// forReply reports whether a peer's reply can be stored.
func (r *room) forReply(c *Config, p *peer, size int64) bool {
	stored := p.dialer.stored
	return !r.full && (stored == 0 || stored+size <= p.limits.MaxStored && r.replyBytes+size <= c.MaxStored)
}

// relievedBy reports whether a reply is taken though the disk is full. Stored, it
// makes way for its request: a node whose own requests have filled the disk would
// wait for ever for the replies that end them. It is one of each peer that the
// application hasn't committed, no larger than its request, or small, up to maxRelief;
// and one of any size in total. The disk is called full while there is room for that.
func (r *room) relievedBy(x *outbound, size int64) bool {
	switch {
	case !r.full:
		return false
	case r.replyBytes == r.asideBytes:
		return true
	}
	return x.peer.dialer.stored == 0 && size <= max(x.payload.Size, wire.MaxInline) && r.replyBytes-r.asideBytes+size <= maxRelief
}

// maxRelief bounds the replies that are taken though the disk is full, in bytes of all
// peers: half of what is kept free by default. Beyond it they wait for room.
const maxRelief = 128 << 20

// hold takes the room of what is aside of a torn peer: one time, or -1 times to give it
// back.
func (r *room) hold(t *torn, times int) {
	for _, x := range t.made {
		if x.outcome == 0 {
			r.queuedBytes += int64(times) * x.payload.Size
		}
		if !x.committed {
			r.replyBytes += int64(times) * x.reply.Size
			r.asideBytes += int64(times) * x.reply.Size
		}
	}
	for _, y := range t.got {
		if y.state.unanswered() {
			r.requestBytes += int64(times) * y.payload.Size
		}
	}
	r.open += times * len(t.got)
}

// key is an idempotency key: its scope is the peer that the request is for.
type key struct {
	peer Peer
	key  string
}
