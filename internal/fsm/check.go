package fsm

import (
	"fmt"
	"slices"

	"github.com/parley-p2p/parley/internal/wire"
)

// Broken checks whether a machine contradicts itself, between two turns: what it
// counts, files under a number or binds together, and whether anything waits for
// what will never come. It returns the first that doesn't hold, in words; "" when
// all do. It looks at everything, and is for simulations and tests.
func (m *Machine) Broken() string {
	var first string
	must := func(holds bool, format string, args ...any) {
		if !holds && first == "" {
			first = fmt.Sprintf(format, args...)
		}
	}
	m.checkRoom(must)
	for _, p := range m.inOrder() {
		m.checkDialer(p, must)
		m.checkResponder(p, must)
		m.checkConnections(p, must)
	}
	m.checkStreams(must)
	m.checkTimers(must)
	must(len(m.unsaved) == 0, "%d things wait to be saved after the Ready", len(m.unsaved))
	must(len(m.touched) == 0, "%d peers wait to be looked at after the Ready", len(m.touched))
	return first
}

type check func(holds bool, format string, args ...any)

// checkRoom: what is taken of the limits is what a recount finds.
func (m *Machine) checkRoom(must check) {
	var want room
	want.full = m.room.full
	aside := 0
	for _, p := range m.peers {
		var stored int64
		for _, x := range m.made {
			if x.peer != p {
				continue
			}
			if x.outcome == 0 {
				want.queuedBytes += x.payload.Size
			}
			if !x.committed {
				stored += x.reply.Size
			}
			if x.reading != nil {
				stored += x.expects
			}
		}
		must(p.dialer.stored == stored, "%s: %d bytes of replies are counted, %d are kept", p.id, p.dialer.stored, stored)
		want.replyBytes += stored

		want.open += len(p.responder.open)
		stored = 0
		replying := 0
		for _, y := range p.responder.open {
			switch {
			case y.state.unanswered():
				stored += y.payload.Size
			case y.state == Replying:
				replying++
			}
		}
		must(p.responder.stored == stored, "%s: %d bytes of requests are counted, %d are kept", p.id, p.responder.stored, stored)
		must(p.responder.replying == replying, "%s: %d answers are counted, %d wait", p.id, p.responder.replying, replying)
		want.requestBytes += stored
		if p.torn != nil {
			want.hold(p.torn, 1)
			aside += len(p.torn.made)
		}
	}
	must(len(m.aside) == aside, "%d exchanges are filed as aside, there are %d", len(m.aside), aside)
	must(m.room == want, "the room is %+v, a recount gives %+v", m.room, want)
}

// checkDialer: numbers, lanes and states of what was made for a peer agree.
func (m *Machine) checkDialer(p *peer, must check) {
	d := &p.dialer
	unacknowledged, inLanes := 0, 0
	for seq, x := range d.open {
		must(x.seq == seq && x.peer == p, "%s: exchange %d is filed as %d", p.id, x.seq, seq)
		must(d.low <= seq && seq < d.next, "%s: exchange %d is open outside of [%d, %d)", p.id, seq, d.low, d.next)
		must(m.made[x.name.Tag] == x, "%s: open exchange %d has no name", p.id, seq)
		must((x.outcome != 0) == (x.state == Cancelling), "%s: exchange %d is %v with the outcome %d", p.id, seq, x.state, x.outcome)
		must(x.state <= Cancelling, "%s: exchange %d is open and %v", p.id, seq, x.state)
		must(slices.Contains(d.lanes[x.lane], x), "%s: exchange %d isn't in its lane", p.id, seq)
		must(x.waiting == slices.Contains(d.waiting, x) || !x.waiting, "%s: exchange %d waits for a stream unserved", p.id, seq)
		must(x.sent || !x.wrote, "%s: exchange %d went out without being marked as sent", p.id, seq)
		if !x.acked {
			unacknowledged++
		}
		m.checkProgress(x, must)
	}
	must(d.unacknowledged == unacknowledged, "%s: %d unacknowledged are counted, there are %d", p.id, d.unacknowledged, unacknowledged)
	must(d.low == d.next || d.open[d.low] != nil, "%s: low is %d, which isn't open; next is %d", p.id, d.low, d.next)
	must(d.next-d.low <= wire.MaxOpen, "%s: %d sequences are open", p.id, d.next-d.low)
	for name, lane := range d.lanes {
		inLanes += len(lane)
		must(len(lane) > 0, "%s: lane %q is empty", p.id, name)
		must(slices.IsSortedFunc(lane, bySeq), "%s: lane %q is out of order", p.id, name)
		for i, x := range lane {
			must(d.open[x.seq] == x, "%s: lane %q holds exchange %d, which isn't open", p.id, name, x.seq)
			must(i == 0 || x.stream == nil && !x.wrote, "%s: exchange %d went out before it was first of its lane", p.id, x.seq)
		}
	}
	must(inLanes == len(d.open), "%s: %d exchanges in lanes, %d open", p.id, inLanes, len(d.open))
	for tag, x := range m.made {
		must(x.ordinal <= m.ordinal, "%s: exchange %d ended after the last", p.id, x.seq)
		must(tag == x.name.Tag && x.name.Dialer == m.config.Self, "exchange %x has another name", tag)
		if x.peer == p && d.open[x.seq] != x {
			must(x.outcome != 0 && x.state == x.outcome && !x.committed, "%s: exchange %d isn't open and not over: %v", p.id, x.seq, x.state)
			must(x.timer.place == 0, "%s: ended exchange %d has a timer", p.id, x.seq)
			must(x.stream == nil && x.reading == nil, "%s: ended exchange %d has a stream", p.id, x.seq)
			must(x.payload.Number == 0, "%s: ended exchange %d keeps its request", p.id, x.seq)
		}
	}
	must((d.halt == nil) || len(d.waiting) == 0, "%s: halted, and exchanges wait for streams", p.id)
}

// checkProgress: no exchange waits for something that will never come.
func (m *Machine) checkProgress(x *outbound, must check) {
	p, d := x.peer, &x.peer.dialer
	head := d.lanes[x.lane][0] == x
	if x.stream != nil {
		must(m.streams[x.stream.id] == x.stream, "%s: exchange %d is bound to a stream that is gone", p.id, x.seq)
		must(x.stream.out == x, "%s: exchange %d is bound to a stream that carries another", p.id, x.seq)
		must(x.stream.conn.peer == p && x.stream.own(), "%s: exchange %d is bound to a stream of somebody else", p.id, x.seq)
		must(head, "%s: exchange %d is bound and isn't first of its lane", p.id, x.seq)
	}
	if x.reading != nil {
		must(m.streams[x.reading.id] == x.reading && x.reading.out == x, "%s: exchange %d reads from a stream that is gone", p.id, x.seq)
		must(x.outcome == 0, "%s: exchange %d is over and reads a reply", p.id, x.seq)
	}
	if x.outcome == 0 && !x.deadline.IsZero() {
		must(x.timer.place != 0 && !x.timer.at.After(x.deadline), "%s: exchange %d doesn't heed its deadline", p.id, x.seq)
	}
	must(x.retry.IsZero() || x.timer.place != 0 && !x.timer.at.After(x.retry), "%s: exchange %d doesn't heed its retry", p.id, x.seq)
	must((x.state == Halted) == (d.halt != nil) || x.state == Cancelling || !p.listed, "%s: exchange %d is %v, halted: %v", p.id, x.seq, x.state, d.halt)
	must(p.listed || x.state == Suspended || x.state == Halted || x.state == Cancelling || x.state == Queued && !head,
		"%s: exchange %d is %v, and the peer is off the list", p.id, x.seq, x.state)
	if !head || !p.listed || d.halt != nil {
		return
	}
	if p.usable() == nil {
		closing := len(p.conns) > 0
		must(p.dialing || p.redial.place != 0 || closing, "%s: exchange %d is %v without a connection, and nobody dials", p.id, x.seq, x.state)
		return
	}
	alive := x.stream != nil && x.state == Awaiting || !x.retry.IsZero() || x.waiting || x.state == Awaiting && x.stream == nil ||
		x.stream == nil && slices.ContainsFunc(p.conns, func(c *connection) bool { return c.state == ConnClosing })
	must(alive, "%s: exchange %d is %v on a connection, and nothing will come of it", p.id, x.seq, x.state)
}

// checkResponder: what a peer made is in order, and nothing that is over is open.
func (m *Machine) checkResponder(p *peer, must check) {
	r := &p.responder
	unanswered := map[string]int{}
	for seq, y := range r.open {
		must(y.seq == seq && y.peer == p, "%s: its exchange %d is filed as %d", p.id, y.seq, seq)
		must(y.ordinal <= m.ordinal, "%s: its exchange %d arrived after the last", p.id, seq)
		must(m.got[y.name] == y, "%s: its exchange %d has no name", p.id, seq)
		must(!r.ended.has(seq), "%s: its exchange %d is open and ended", p.id, seq)
		must(seq < r.ended.low+wire.MaxOpen, "%s: its exchange %d is beyond the window from %d", p.id, seq, r.ended.low)
		must(y.state >= Receiving && y.state <= Refused, "%s: its exchange %d is open and %v", p.id, seq, y.state)
		waits := y.state.unanswered()
		must((r.lanes[y.lane] == y) == waits, "%s: its exchange %d is %v, in its lane: %v", p.id, seq, y.state, r.lanes[y.lane] == y)
		if waits {
			unanswered[y.lane]++
		} else {
			must(y.payload.Number == 0, "%s: its exchange %d is answered and keeps the request", p.id, seq)
			must(y.entry == nil && !y.again, "%s: its exchange %d is answered and waits for the application", p.id, seq)
		}
		if y.state == Receiving {
			must(y.stream != nil, "%s: its exchange %d keeps room for a payload that won't come", p.id, seq)
		}
		if y.stream != nil {
			must(m.streams[y.stream.id] == y.stream && y.stream.conn.peer == p, "%s: its exchange %d is bound to a stream that is gone", p.id, seq)
			must(y.stream.in == y, "%s: its exchange %d is bound to a stream that carries another", p.id, seq)
		}
		inHand := r.inHand[y.name] == y
		must(inHand == (y.state == Delivered), "%s: its exchange %d is %v, in hand: %v", p.id, seq, y.state, inHand)
	}
	for name, y := range r.inHand {
		must(r.open[y.seq] == y || y.state == Abandoned && m.abandoned[name] == y, "%s: its exchange %d is over and in hand", p.id, y.seq)
	}
	for lane, n := range unanswered {
		must(n == 1, "%s: %d unanswered requests in lane %q", p.id, n, lane)
	}
	must(len(r.lanes) == len(unanswered), "%s: a lane outlives its exchange", p.id)
	last := r.ended.low // which isn't ended: the first span begins above it
	for _, s := range r.ended.spans {
		must(s.first > last && s.last >= s.first, "%s: span %v after %d", p.id, s, last)
		last = s.last + 1
	}
	must(r.ended.low >= 1, "%s: low is 0", p.id)
	count := 0
	for _, y := range m.got {
		if y.peer == p {
			count++
		}
	}
	must(count == len(r.open), "%s: %d of its exchanges have names, %d are open", p.id, count, len(r.open))
}

func (m *Machine) checkConnections(p *peer, must check) {
	for _, c := range p.conns {
		must(m.conns[c.id] == c && c.peer == p, "connection %d is lost", c.id)
		must((c.timer.place != 0) == (c.state == ConnUp), "connection %d, state %d, timer %v", c.id, c.state, c.timer.place != 0)
		must(len(c.held) == 0 || !c.greeted && c.state == ConnUp, "connection %d holds frames back for nothing", c.id)
		must(c.owned <= m.config.MaxStreams, "connection %d has %d streams of ours", c.id, c.owned)
		must(p.listed || c.state == ConnClosing, "connection %d is up, and its peer is off the list", c.id)
		must(c.helloPending >= 0, "connection %d awaits %d WELCOMEs", c.id, c.helloPending)
		for i, s := range c.idle {
			must(m.streams[s.id] == s && s.conn == c && s.own() && !s.spent, "stream %d can't be used again", s.id)
			must(s.out == nil && s.in == nil, "stream %d is idle and carries an exchange", s.id)
			must(!slices.Contains(c.idle[i+1:], s), "stream %d is idle twice", s.id)
		}
	}
	must(p.usable() == nil || p.redial.place == 0, "%s: connected, and to be dialled", p.id)
}

func (m *Machine) checkStreams(must check) {
	owned := map[Conn]int{}
	for id, s := range m.streams {
		must(s.id == id && m.conns[s.conn.id] == s.conn, "stream %d outlives its connection", id)
		if s.own() {
			owned[s.conn.id]++
		}
		if x := s.out; x != nil {
			must(x.stream == s || x.reading == s, "stream %d carries exchange %d, which doesn't know", id, x.seq)
		}
		if y := s.in; y != nil {
			must(y.stream == s && y.peer.responder.open[y.seq] == y, "stream %d carries the peer's exchange %d, which doesn't know", id, y.seq)
		}
	}
	peers := 0
	for _, p := range m.peers {
		peers += len(p.conns)
	}
	must(peers == len(m.conns), "%d connections, of peers %d", len(m.conns), peers)
	for id, c := range m.conns {
		must(c.owned == owned[id], "connection %d: %d streams of ours are counted, there are %d", id, c.owned, owned[id])
	}
}

func (m *Machine) checkTimers(must check) {
	for i, t := range m.timers {
		must(t.place == i+1, "a timer is in the wrong place")
		must(i == 0 || !m.timers.Less(i, (i-1)/2), "the timers are no heap")
		switch owner := t.owner.(type) {
		case *outbound:
			must(owner.peer.dialer.open[owner.seq] == owner, "a timer of exchange %d, which is over", owner.seq)
		case *inbound:
			must(owner.peer.responder.open[owner.seq] == owner, "a timer of the peer's exchange %d, which is over", owner.seq)
		case *connection:
			must(m.conns[owner.id] == owner, "a timer of connection %d, which is gone", owner.id)
		case *peer:
			must(m.peers[owner.id] == owner, "a timer of a peer that is unknown")
		default:
			must(false, "a timer of %T", owner)
		}
	}
}
