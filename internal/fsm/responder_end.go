package fsm

import (
	"cmp"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// enterEpoch compares a frame's epoch with the one known of its dialer. An
// older one is refused: somebody else uses the key, or the journal was lost. A
// newer one ends all that is older.
func (m *Machine) enterEpoch(now time.Time, s *stream, f *wire.Frame) bool {
	r := &s.conn.peer.responder
	switch {
	case f.Epoch < r.epoch:
		m.rejectRequest(s, f, wire.Reject, wire.Fenced)
		return false
	case f.Epoch > r.epoch:
		for _, y := range r.inOrder() {
			m.endInbound(now, y, Abandoned, nil)
		}
		r.epoch = f.Epoch
		r.ended.clear()
		m.save(r)
		m.sync()
	}
	return true
}

// helloArrived ends all that the dialer has ended: what is below the next
// number and isn't listed. It only ever ends, so that a late one does no harm;
// without it a reply whose last acknowledgement was lost would be kept for ever.
func (m *Machine) helloArrived(now time.Time, s *stream, f *wire.Frame, payload Payload) {
	c := s.conn
	r := &c.peer.responder
	listed, err := wire.DecodeOpen(payload.Inline, f.Next)
	if err != nil {
		m.violate(now, c, err.Error())
		return
	}
	if len(listed) > 0 && f.Next-listed[0] > wire.MaxOpen {
		m.violate(now, c, "more than 65,536 sequences open")
		return
	}
	c.greeted = true
	defer m.release(now, c)
	if !m.enterEpoch(now, s, f) {
		return
	}
	over := r.those(func(y *inbound) bool {
		_, open := slices.BinarySearch(listed, y.seq)
		return !open && y.seq < f.Next
	})
	for _, y := range over {
		m.endByDialer(now, y)
	}
	first, changed := uint64(1), len(over) > 0
	for _, seq := range append(listed, f.Next) {
		if seq > first && r.ended.add(first, seq-1) {
			changed = true
		}
		first = seq + 1
	}
	if changed {
		m.save(r)
	}
	if changed || m.endsUnsynced {
		m.sync()
	}
	m.send(s, wire.Frame{Kind: wire.Welcome, Epoch: r.epoch, Next: r.seen()}, Payload{})
}

// seen is the greatest number that the dialer has used in this epoch.
func (r *responderSide) seen() uint64 {
	highest := r.ended.highest()
	for seq := range r.open {
		highest = max(highest, seq)
	}
	return highest
}

// endBelow ends everything below low, which the dialer has ended.
func (m *Machine) endBelow(now time.Time, p *peer, low uint64) {
	r := &p.responder
	if low <= r.ended.low {
		return
	}
	if low-r.ended.low <= uint64(len(r.open)) {
		for seq := r.ended.low; seq < low; seq++ {
			if y := r.open[seq]; y != nil {
				m.endByDialer(now, y)
			}
		}
	} else {
		for _, y := range r.those(func(y *inbound) bool { return y.seq < low }) {
			m.endByDialer(now, y)
		}
	}
	if r.ended.add(1, low-1) {
		m.save(r)
		m.endsUnsynced = true
	}
}

// those is the open exchanges of which something holds, in order of their numbers.
func (r *responderSide) those(holds func(*inbound) bool) []*inbound {
	var all []*inbound
	for _, y := range r.open {
		if holds(y) {
			all = append(all, y)
		}
	}
	slices.SortFunc(all, inboundBySeq)
	return all
}

// endByDialer ends an exchange that the dialer says has ended.
func (m *Machine) endByDialer(now time.Time, y *inbound) {
	if y.state == Replying {
		m.endInbound(now, y, AnsweredThere, nil)
	} else {
		m.endInbound(now, y, Abandoned, nil)
	}
}

// cancelArrived ends an exchange, also one that was never heard of: its REQUEST
// may still come out of an old socket.
func (m *Machine) cancelArrived(now time.Time, s *stream, f *wire.Frame) {
	p := s.conn.peer
	r := &p.responder
	if !m.enterEpoch(now, s, f) {
		return
	}
	if f.Seq >= r.ended.low+wire.MaxOpen {
		m.violate(now, s.conn, "more than 65,536 sequences open")
		return
	}
	y := r.open[f.Seq]
	if y != nil && y.name.Tag != f.Tag {
		m.mismatch(now, s, f, y.name)
		return
	}
	if y == nil && !r.ended.has(f.Seq) { // what was never known is written down too
		if over, wait := m.inTime(now, p, 0); over != none {
			m.turnAway(now, s, f, over, wait)
			return
		}
	}
	if y != nil {
		m.endInbound(now, y, Abandoned, nil)
	}
	if r.ended.add(f.Seq, f.Seq) {
		m.save(r)
		m.endsUnsynced = true
	}
	if m.endsUnsynced { // else it is on disk already
		m.sync()
	}
	s.conn.useful = true
	m.send(s, wire.Frame{Kind: wire.Ack, Of: wire.OfCancel, Epoch: f.Epoch, Seq: f.Seq}, Payload{})
}

// verdictOnReply is what the dialer says of an answer: it has it, has no room
// yet, or has ended the exchange.
func (m *Machine) verdictOnReply(now time.Time, s *stream, f *wire.Frame) {
	p := s.conn.peer
	y := p.responder.open[f.Seq]
	switch {
	case f.Epoch > p.responder.epoch:
		m.violate(now, s.conn, "an acknowledgement of a reply that was never made")
	case f.Epoch < p.responder.epoch || y == nil: // ended meanwhile
	case y.state != Replying && y.state != Refused:
		m.violate(now, s.conn, "an acknowledgement of a reply that was never made")
	case f.Kind == wire.Reject && f.Tag != y.name.Tag:
		m.mismatchNotice(now, s, y.name, "it rejects a reply to another request")
	case f.Kind == wire.Ack && f.Hash != y.answerHash() && y.state == Replying:
		m.mismatchNotice(now, s, y.name, "it acknowledges another reply; ours is kept")
	case f.Kind == wire.Nack: // no room there: it will ask again
		y.awaitsResume = true
		y.wake(m, time.Time{})
		if y.stream != s {
			break
		}
		y.stream, s.in = nil, nil // its dialer may use the stream for something else
		if s.own() && y.reply.Size > wire.MaxInline {
			m.reset(now, s)
		} else {
			m.free(s)
		}
	case f.Kind == wire.Reject && y.reply.Size > wire.MaxInline: // stopped on its way
		m.endInbound(now, y, AnsweredThere, s)
		m.reset(now, s)
	default:
		s.conn.useful = true
		m.endInbound(now, y, AnsweredThere, s)
	}
}

// endInbound ends an exchange for good. What depends on its being durable syncs.
// said is the stream on which the dialer has answered the answer, if it has: on
// another one its word is still to come, and would be taken for that on what is sent
// there next.
func (m *Machine) endInbound(now time.Time, y *inbound, end ResponderState, said *stream) {
	r := &y.peer.responder
	told := end == Abandoned && (y.state == Stored || y.state == Delivered) && y.offered
	if told {
		m.outbox.abandoned(y)
	}
	held := r.inHand[y.name]
	s := y.stream
	was := y.state
	y.stream = nil
	if s != nil {
		s.in = nil
		switch {
		case s.own() && s == said:
			m.free(s)
		case s.own():
			m.reset(now, s)
		}
	}
	m.dropInbound(y)
	y.state, y.ended = end, now
	if told { // until the application has taken the news it may try to answer
		m.abandoned[y.name] = y
		if held != nil {
			r.inHand[y.name] = y
		}
	}
	m.drop(&y.payload)
	m.drop(&y.reply)
	r.ended.add(y.seq, y.seq)
	m.save(r)
	m.endsUnsynced = true
	m.save(y) // which deletes its record
	if was != Receiving {
		m.remember(now, y.summary())
	}
	m.touch(y.peer)
}

// dropInbound takes an exchange from among the open ones and gives back its room.
func (m *Machine) dropInbound(y *inbound) {
	r := &y.peer.responder
	switch {
	case y.state.unanswered():
		r.stored -= y.payload.Size
		m.room.requestBytes -= y.payload.Size
	case y.state == Replying:
		r.replying--
	case y.state == Refused:
		r.refused--
	}
	delete(r.open, y.seq)
	delete(m.got, y.name)
	if r.lanes[y.lane] == y {
		delete(r.lanes, y.lane)
	}
	delete(r.inHand, y.name)
	m.outbox.remove(y)
	m.room.open--
	m.wakeAt(&y.timer, time.Time{})
}

// forget drops, by the operator's word, an answer that its dialer never fetched.
// The dialer is told so, now when it is connected, else when it asks after all.
func (m *Machine) forget(now time.Time, in Forget) {
	y := m.got[in.Name]
	switch {
	case y == nil:
		m.answer(in.Call, m.unknownInbound(in.Name))
		return
	case y.state != Replying:
		m.answer(in.Call, ErrOpen)
		return
	}
	m.drop(&y.reply)
	y.reply = Payload{}
	y.refusal, y.reason = wire.Policy, "the reply was dropped by the responder's operator"
	y.state = Refused
	y.peer.responder.replying--
	y.peer.responder.refused++
	y.awaitsResume = false
	m.save(y)
	m.sync()
	m.touch(y.peer)
	y.wake(m, now) // on another stream: what was sent on this one may have come
	m.answer(in.Call, nil)
}

// holdBack keeps requests of a peer that is off the allow list from the application.
func (m *Machine) holdBack(p *peer) {
	for _, y := range p.responder.open {
		m.outbox.remove(y)
	}
}

// deliverAgain has what was held back, or recovered, delivered in the order of
// its arrival.
func (m *Machine) deliverAgain(p *peer) {
	m.outbox.tidy()
	waiting := p.responder.inOrder()
	slices.SortFunc(waiting, func(a, b *inbound) int { return cmp.Compare(a.ordinal, b.ordinal) })
	for _, y := range waiting {
		if y.state == Stored && !y.offered {
			m.outbox.pushAgain(y)
		}
	}
}
