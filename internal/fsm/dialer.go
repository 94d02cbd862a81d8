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

	open            map[uint64]*outbound // not ended, or holding its lane
	lanes           map[string][]*outbound
	waiting         []*outbound // first of their lanes, for a stream
	unacknowledged  int         // of open, those that the peer isn't known to have
	silent          int         // ended without the peer's word since the last HELLO
	endedSinceHello bool        // something ended that the last HELLO listed as open
	confirm         bool        // dial once more, so that a HELLO tells what ended
	kept            int         // exchanges that aren\'t committed
	stored          int64       // bytes of replies kept
	unsaved         bool
}

// enqueue makes requests: all or none.
func (m *Machine) enqueue(now time.Time, in Enqueue) {
	names, at, err := m.admit(in.Requests)
	if err != nil {
		m.ready.Answers = append(m.ready.Answers, Answer{Call: in.Call, At: at, Err: err})
		return
	}
	for i, r := range in.Requests {
		if names[i] != (Name{}) {
			continue // known by its key
		}
		if known, found := m.keys[key{r.Peer, r.Key}]; found && r.Key != "" {
			names[i] = known.name // by an earlier one of the same call
			continue
		}
		names[i] = m.make(now, r).name
	}
	m.sync()
	m.answer(in.Call, nil, names...)
}

// admit checks requests before anything is changed. It returns the names of
// those that exist already, by their keys.
func (m *Machine) admit(requests []Outgoing) (names []Name, at int, err error) {
	names = make([]Name, len(requests))
	fresh := map[Peer]int{}
	hashes := map[key]wire.Hash{}
	tags := map[wire.Tag]struct{}{}
	total, bytes := 0, int64(0)
	for i, r := range requests {
		switch {
		case r.Peer == m.config.Self:
			return nil, i, ErrSelf
		case m.strange(r.Peer):
			return nil, i, ErrNotListed
		}
		p := m.peer(r.Peer)
		k := key{r.Peer, r.Key}
		known, found := m.keys[k]
		if within, twice := hashes[k]; r.Key != "" && !found && twice {
			known, found = keyed{hash: within}, true
		}
		switch {
		case r.Key != "" && found && known.hash != r.Payload.Hash:
			return nil, i, ErrKeyReused
		case r.Key != "" && found:
			names[i] = known.name
			continue
		case !p.listed:
			return nil, i, ErrNotListed
		case p.dialer.halt != nil:
			return nil, i, p.dialer.halt
		case !r.Dialable && p.usable() == nil:
			return nil, i, ErrNoAddress
		case m.made[r.Tag] != nil:
			return nil, i, ErrTagReused
		}
		if _, twice := tags[r.Tag]; twice {
			return nil, i, ErrTagReused
		}
		tags[r.Tag] = struct{}{}
		hashes[k] = r.Payload.Hash
		fresh[r.Peer]++
		total++
		bytes += r.Payload.Size
		d := &p.dialer
		if d.kept+fresh[r.Peer] > m.config.MaxQueuedPerPeer || d.next+uint64(fresh[r.Peer])-d.low > wire.MaxOpen {
			return nil, i, ErrQueueFull
		}
	}
	if m.room.full && total > 0 {
		return nil, 0, ErrDiskFull
	}
	if len(m.made)+total > m.config.MaxQueued || m.room.queuedBytes+bytes > m.config.MaxStored {
		return nil, 0, ErrQueueFull
	}
	return names, 0, nil
}

// make gives a request its number and its place in its lane.
func (m *Machine) make(now time.Time, r Outgoing) *outbound {
	p := m.peer(r.Peer)
	d := &p.dialer
	if d.epoch == 0 {
		d.epoch = newEpoch(now, 0)
	}
	if len(r.Addresses) > 0 {
		p.addresses = r.Addresses
	}
	x := &outbound{
		peer: p, seq: d.next, name: Name{m.config.Self, r.Tag}, lane: r.Lane, key: r.Key, deadline: r.Deadline.Truncate(time.Millisecond), made: now,
		payload: m.store(r.Payload), state: Queued, waited: r.Waited,
	}
	x.timer.owner = x
	d.next++
	d.kept++
	m.save(d)
	m.save(x)
	m.enter(x)
	if r.Key != "" {
		m.keys[key{p.id, r.Key}] = keyed{x.name, x.payload.Hash}
	}
	if d.lanes[x.lane][0] == x {
		m.start(now, x)
	}
	x.arm(m)
	m.touch(p)
	return x
}

// enter puts an exchange among the open ones.
func (m *Machine) enter(x *outbound) {
	d := &x.peer.dialer
	m.made[x.name.Tag] = x
	d.open[x.seq] = x
	d.lanes[x.lane] = append(d.lanes[x.lane], x)
	if !x.acked {
		d.unacknowledged++
	}
	m.room.queued++
	if x.outcome == 0 {
		m.room.queuedBytes += x.payload.Size
	}
}

// leave ends an exchange's hold on its number and its lane; the next of the lane
// starts by itself.
func (m *Machine) leave(now time.Time, x *outbound) {
	d := &x.peer.dialer
	if d.open[x.seq] != x {
		return
	}
	delete(d.open, x.seq)
	for d.low < d.next && d.open[d.low] == nil {
		d.low++
	}
	if !x.acked {
		d.unacknowledged--
	}
	m.room.queued--
	if len(d.open) == 0 {
		x.peer.addresses = nil // the next request says where to dial, or the allow list
	}
	x.waiting = false
	x.retry = time.Time{}
	m.wakeAt(&x.timer, time.Time{})
	m.touch(x.peer)

	lane := d.lanes[x.lane]
	at := slices.Index(lane, x)
	lane = slices.Delete(lane, at, at+1)
	if len(lane) == 0 {
		delete(d.lanes, x.lane)
		return
	}
	d.lanes[x.lane] = lane
	if at == 0 {
		m.start(now, lane[0])
	}
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
		x.peer.dialer.waiting = append(x.peer.dialer.waiting, x)
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
		c.parkable = slices.DeleteFunc(c.parkable, func(x *outbound) bool {
			return x.state != Awaiting || x.stream == nil || x.stream.conn != c
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
