package fsm

import (
	"cmp"
	"container/list"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// DialerState is where an exchange stands at the node that made the request.
type DialerState uint8

const (
	Queued     DialerState = iota + 1 // waits for the exchange before it in its lane, or for a stream
	Dialing                           // first of its lane; the peer is being dialled
	Sending                           // REQUEST or RESUME went out; the responder's word is awaited, then resent
	Awaiting                          // acknowledged; the reply is awaited
	Backoff                           // failed, lost or put off; tries again when its time comes
	Suspended                         // the peer is off the allow list; goes on when it returns
	Halted                            // fenced, rolled back or mismatch; goes on when the operator renews
	Cancelling                        // over and told; holds its lane until the responder knows
	Answered                          // end: the reply is stored
	Rejected                          // end: the responder will never answer
	Expired                           // end: its deadline passed
	Cancelled                         // end: the application cancelled it
)

// outbound is an exchange that this node made.
type outbound struct {
	peer      *peer
	seq       uint64
	epoch     uint64   // of a restored one, as recorded
	addresses []string // likewise
	name      Name
	lane      string
	key       string
	deadline  time.Time
	made      time.Time
	payload   Payload // of the request, until an outcome is durable
	reply     Payload // once answered, until committed

	state   DialerState
	outcome DialerState // told to the application; zero while open
	reason  string      // of a rejection
	ended   time.Time
	ordinal uint64 // of the outcome

	sent         bool // durable: a REQUEST may have gone out
	wrote        bool // one may have gone out, in this run or before it
	acked        bool // the responder has it
	taken        bool // and its application took it
	possiblySeen bool
	committed    bool // the application is done with the outcome
	retold       bool // the outcome may have been told by an earlier run

	stream  *stream // bound to: only its acknowledgements count
	resent  bool    // sent more than once, maybe on more than one connection
	resumed bool    // the last frame sent was RESUME, so that CONTINUE is in order
	reading *stream // a large reply is being read on it
	expects int64   // its size
	omitted *connection
	waiting bool // for a stream
	waited  bool // a call waits for the outcome

	failures int
	retry    time.Time
	// putOffByPeer: retry is the peer's wish.
	putOffByPeer bool
	timer        timer
	unsaved      bool
	entry        *list.Element // in the outbox
}

// dialerSide is what this node knows as dialer towards one peer.
type dialerSide struct {
	peer        *peer
	epoch, next uint64
	low         uint64 // every smaller sequence is ended
	acked       bool   // something was acknowledged in this epoch
	adopted     bool   // the epoch was raised over the one that a peer knew, once
	unconfirmed bool   // something ended of which the peer may not know
	known       uint64 // the latest epoch that the peer named in fencing this node
	halt        error  // why nothing is sent until the operator renews

	open            map[uint64]*outbound   // not ended, or holding its lane: at most Config.MaxQueuedPerPeer
	lanes           map[string][]*outbound // the same, one for each exchange
	waiting         []*outbound            // first of their lanes, for a stream; at most two for each exchange
	unacknowledged  int                    // of open, those that the peer isn't known to have
	silent          int                    // ended without the peer's word since the last HELLO
	endedSinceHello bool                   // something ended that the last HELLO listed as open
	confirm         bool                   // dial once more, so that a HELLO tells what ended
	kept            int                    // exchanges that aren't committed
	stored          int64                  // bytes of replies kept
	unsaved         bool
}

// start sets the first exchange of a lane going: it goes out on a connection, or
// waits for one.
func (m *Machine) start(now time.Time, x *outbound) {
	p := x.peer
	switch c := p.usable(); {
	case p.dialer.halt != nil:
		x.become(Halted)
	case !p.listed:
		x.become(Suspended)
	case c != nil:
		m.transmit(now, x, c)
		return
	default:
		x.become(Dialing)
		if p.failures > 0 {
			x.become(Backoff)
		}
		// It will go out as soon as a connection is up, so that the mark, which
		// must be durable first, rides with the record that is being written.
		m.markSent(x)
		m.touch(p)
	}
	x.retryAt(m, time.Time{})
}

// become changes the state of an exchange whose end has not been told.
func (x *outbound) become(s DialerState) {
	if x.state != Cancelling {
		x.state = s
	}
}

func (m *Machine) markSent(x *outbound) {
	if !x.sent {
		x.sent = true
		m.save(x)
		m.sync()
	}
}

// transmit sends what the exchange needs now on a connection: REQUEST the first
// time, RESUME ever after, CANCEL when it is over.
func (m *Machine) transmit(now time.Time, x *outbound, c *connection) {
	if x.waiting {
		return
	}
	s := m.take(now, c)
	if s == nil {
		x.become(Queued)
		x.waiting = true
		x.retryAt(m, time.Time{})
		x.peer.dialer.wait(x)
		return
	}
	m.bind(x, s)
	if x.state == Cancelling {
		m.sendCancel(now, x)
		return
	}
	m.markSent(x)
	if x.wrote {
		x.resent = true
		m.stats.Resends++
	}
	x.resumed = x.wrote || x.payload.Size > wire.MaxInline
	x.wrote = true
	x.state = Sending
	f := m.requestFrame(now, x)
	if x.resumed {
		f.Kind = wire.Resume
		m.send(s, f, Payload{})
	} else {
		m.send(s, f, x.payload)
	}
	x.retryAt(m, now.Add(m.patience(x.failures)))
}

func (m *Machine) requestFrame(now time.Time, x *outbound) wire.Frame {
	f := wire.Frame{
		Kind: wire.Request, Epoch: x.peer.dialer.epoch, Seq: x.seq, Tag: x.name.Tag, Lane: x.lane,
		Hash: x.payload.Hash, Size: uint64(x.payload.Size), Low: x.peer.dialer.low,
		LargestReply: uint64(m.config.MaxMessageSize), PossiblySeen: x.possiblySeen,
	}
	if !x.deadline.IsZero() {
		f.Remaining = max(x.deadline.Sub(now)+time.Millisecond-1, time.Millisecond).Truncate(time.Millisecond)
	}
	return f
}

func (m *Machine) sendCancel(now time.Time, x *outbound) {
	m.send(x.stream, wire.Frame{Kind: wire.Cancel, Epoch: x.peer.dialer.epoch, Seq: x.seq, Tag: x.name.Tag}, Payload{})
	x.retryAt(m, now.Add(m.config.AckTimeout))
}

// bind ties an exchange to the stream whose acknowledgements count from now on.
func (m *Machine) bind(x *outbound, s *stream) { x.stream, s.out = s, x }

// unbind takes an exchange off its stream, which can't be used any more: the
// responder's word on it is still to come.
func (m *Machine) unbind(now time.Time, x *outbound) {
	m.reset(now, x.stream)
	m.reset(now, x.reading)
}

// serveWaiting gives streams that became free to those that wait for one.
func (m *Machine) serveWaiting(now time.Time, p *peer) {
	d := &p.dialer
	for len(d.waiting) > 0 {
		c := p.usable()
		if c == nil || len(c.idle) == 0 && c.owned >= m.config.MaxStreams && !m.park(now, c) {
			return
		}
		x := d.waiting[0]
		d.waiting = d.waiting[1:]
		if x.waiting {
			x.waiting = false
			m.transmit(now, x, c)
		}
	}
}

// wait puts an exchange among those that wait for a stream. Most leave in their
// turn; those that don't wait any more are taken out before they are many.
func (d *dialerSide) wait(x *outbound) {
	if len(d.waiting) >= 2*len(d.open) {
		d.waiting = slices.DeleteFunc(d.waiting, func(x *outbound) bool { return !x.waiting })
	}
	d.waiting = append(d.waiting, x)
}

// park takes the stream of an exchange that only waits for its reply, which can
// come on one that the responder opens.
func (m *Machine) park(now time.Time, c *connection) bool {
	for len(c.parkable) > 0 {
		x := c.parkable[0]
		c.parkable = c.parkable[1:]
		if x.state == Awaiting && x.stream != nil && x.stream.conn == c && x.reading == nil {
			m.unbind(now, x)
			return true
		}
	}
	return false
}

// canPark notes that an exchange could do without its stream. Most are answered
// before it comes to that: what is noted is kept to twice what can be parked.
func (c *connection) canPark(m *Machine, x *outbound) {
	c.parkable = append(c.parkable, x)
	if len(c.parkable) > 2*m.config.MaxStreams {
		noted := make(map[*outbound]bool, m.config.MaxStreams)
		c.parkable = slices.DeleteFunc(c.parkable, func(x *outbound) bool {
			twice := noted[x] // it was acknowledged more than once
			noted[x] = true
			return twice || x.state != Awaiting || x.stream == nil || x.stream.conn != c
		})
	}
}

// heads is the first exchange of every lane, in order of their numbers.
func (d *dialerSide) heads() []*outbound {
	heads := make([]*outbound, 0, len(d.lanes))
	for _, lane := range d.lanes {
		heads = append(heads, lane[0])
	}
	slices.SortFunc(heads, bySeq)
	return heads
}

// inOrder is every open exchange, in order of their numbers.
func (d *dialerSide) inOrder() []*outbound {
	return slices.SortedFunc(maps.Values(d.open), bySeq)
}

func bySeq(a, b *outbound) int { return cmp.Compare(a.seq, b.seq) }

// retryAt sets when the exchange acts by itself again; zero: when something happens.
func (x *outbound) retryAt(m *Machine, at time.Time) {
	x.retry = at
	x.arm(m)
}

// arm sets the timer to what comes first, the next attempt or the deadline.
func (x *outbound) arm(m *Machine) {
	at := x.retry
	if x.outcome == 0 {
		at = earliest(at, x.deadline)
	}
	m.wakeAt(&x.timer, at)
}

// waitsByItself reports whether the exchange was put off by the peer, to a time
// that a new connection doesn't shorten.
func (x *outbound) waitsByItself() bool {
	return x.state == Backoff && x.putOffByPeer && !x.retry.IsZero()
}
