package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// bound is the exchange that an acknowledgement on a stream is about, if it
// counts: what comes from an older stream or epoch is ignored.
func (m *Machine) bound(now time.Time, s *stream, f *wire.Frame) *outbound {
	d := &s.conn.peer.dialer
	switch x := d.open[f.Seq]; {
	case f.Epoch > d.epoch || f.Epoch == d.epoch && f.Seq >= d.next:
		m.violate(now, s.conn, "an acknowledgement of a request that was never made")
		return nil
	case f.Epoch < d.epoch || x == nil || x.stream != s:
		return nil
	default:
		return x
	}
}

// ackArrived: the responder has the request, or knows that it is cancelled.
func (m *Machine) ackArrived(now time.Time, s *stream, f *wire.Frame) {
	x := m.bound(now, s, f)
	switch {
	case x == nil:
	case f.Of == wire.OfCancel:
		if x.state != Cancelling {
			m.violate(now, s.conn, "ACK of a CANCEL that was never sent")
			return
		}
		s.conn.useful = true
		m.free(s)
		x.stream = nil
		m.confirmed(now, x)
	case f.Hash != x.payload.Hash:
		m.violate(now, s.conn, "ACK of a request with another hash")
	case x.state == Sending || x.state == Awaiting:
		s.conn.useful = true
		again := x.state == Awaiting
		x.state, x.failures = Awaiting, 0
		if !again {
			s.conn.canPark(m, x)
		}
		if x.reading == nil {
			x.retryAt(m, time.Time{})
		}
		m.acknowledged(x)
		if f.Delivered && !x.taken {
			x.taken = true
			m.save(x)
		}
	}
}

// acknowledged notes that the responder has the request. The note isn't waited
// for: without it a responder that lost its journal is only not named.
func (m *Machine) acknowledged(x *outbound) {
	d := &x.peer.dialer
	if !x.acked {
		x.acked = true
		d.unacknowledged--
		m.save(x)
	}
	if !d.acked {
		d.acked = true
		m.save(d)
		m.sync() // once an epoch: what fenced decides rests on it
	}
}

// nackArrived: not now. The request is kept and sent again, without limit.
func (m *Machine) nackArrived(now time.Time, s *stream, f *wire.Frame) {
	x := m.bound(now, s, f)
	switch {
	case x == nil:
	case x.state == Cancelling && f.Of == wire.OfRequest: // the answer to CANCEL is still to come
	case f.Of == wire.OfCancel && x.state != Cancelling:
		m.violate(now, s.conn, "NACK of a CANCEL that was never sent")
	case x.state == Awaiting:
		m.violate(now, s.conn, "NACK of a request that was acknowledged")
	default:
		m.stats.Nacks++
		s.conn.useful = true
		if x.payload.Size > wire.MaxInline && !x.resumed {
			m.unbind(now, x) // its payload was refused on the way
		} else {
			x.stream = nil
			m.free(s)
		}
		m.putOff(now, x, f.RetryAfter)
	}
}

// rejectArrived: never; or a sign that this journal isn't what the peer knew.
func (m *Machine) rejectArrived(now time.Time, s *stream, f *wire.Frame) {
	p := s.conn.peer
	switch f.Refusal {
	case wire.Fenced:
		switch {
		case f.Known <= f.Epoch || f.Known > maxEpoch:
			m.violate(now, s.conn, "REJECT FENCED by an epoch that can't be")
		case f.Epoch == p.dialer.epoch:
			m.fenced(now, p, f.Known)
		}
		return
	case wire.Policy, wire.TooLarge:
		m.rejectionArrived(now, s, f)
		return
	}
	x := m.bound(now, s, f)
	switch {
	case x == nil:
	case f.Refusal == wire.Mismatch:
		m.halt(now, p, ErrMismatch, x.name)
	case x.state == Cancelling:
		m.free(s)
		x.stream = nil
		m.confirmed(now, x)
	default: // ended there, open here
		m.halt(now, p, ErrRolledBack, x.name)
	}
}

// rejectionArrived is the responder's final no. A late one, of the application,
// travels as a reply would: also on a stream that the responder opened.
func (m *Machine) rejectionArrived(now time.Time, s *stream, f *wire.Frame) {
	d := &s.conn.peer.dialer
	if x := d.open[f.Seq]; x != nil && x.state == Cancelling && !s.carriesOther(x) && f.Epoch == d.epoch && f.Tag == x.name.Tag && d.halt == nil {
		m.verdict(s, x, wire.Frame{Kind: wire.Reject, Refusal: wire.Ended})
		m.detach(now, x, s)
		m.confirmed(now, x)
		return
	}
	x := m.replied(now, s, f)
	if x == nil {
		return
	}
	reason := f.Text
	if f.Refusal == wire.TooLarge {
		reason = tooLarge("request", x.payload.Size, int64(f.Known))
	}
	m.conclude(now, x, Rejected, reason, s, wire.Frame{Kind: wire.Ack, Hash: f.Hash})
}

// continueArrived: the responder doesn't know the request and has room for it.
func (m *Machine) continueArrived(now time.Time, s *stream, f *wire.Frame) {
	x := m.bound(now, s, f)
	switch {
	case x == nil || x.state == Cancelling: // a CANCEL follows the RESUME on this stream
	case x.state != Sending || !x.resumed:
		m.violate(now, s.conn, "CONTINUE without RESUME")
	default:
		if x.acked {
			x.acked, x.taken, x.possiblySeen = false, false, true
			x.peer.dialer.unacknowledged++
			m.save(x)
			m.sync()
			m.notice(Notice{Kind: PeerLostJournal, Peer: x.peer.id, Name: x.name, Detail: "it denies a request that it had acknowledged", Time: now})
		}
		x.resumed = false
		m.send(s, m.requestFrame(now, x), x.payload)
		x.retryAt(m, now.Add(m.config.AckTimeout))
	}
}

// replyArrived: the end, once it is durable. It may come on the exchange's
// stream or on one that the responder opened.
func (m *Machine) replyArrived(now time.Time, s *stream, f *wire.Frame, payload Payload, unread bool) {
	x := m.replied(now, s, f)
	if x == nil {
		m.spend(s, unread)
		if unread && s.conn.peer.dialer.halt != nil {
			m.reset(now, s) // nobody will say what becomes of it
		}
		return
	}
	d := &x.peer.dialer
	switch {
	case !unread && x.reading == s: // accepted before
		m.stopReading(x)
	case f.Size > uint64(m.config.MaxMessageSize):
		m.spend(s, unread)
		m.conclude(now, x, Rejected, tooLarge("reply", int64(min(f.Size, 1<<62)), m.config.MaxMessageSize),
			s, wire.Frame{Kind: wire.Reject, Refusal: wire.TooLarge, Known: uint64(m.config.MaxMessageSize)})
		return
	case x.reading != nil || !m.room.forReply(&m.config, x.peer, int64(f.Size)) && !m.room.relievedBy(x, int64(f.Size)):
		m.spend(s, unread)
		m.send(s, wire.Frame{Kind: wire.Nack, Of: wire.OfReply, Epoch: d.epoch, Seq: x.seq, Delay: wire.NoRoom}, Payload{})
		if x.reading == nil {
			m.detach(now, x, s)
			m.putOff(now, x, 0) // and RESUME then
		}
		return
	}
	d.stored += int64(f.Size)
	m.room.replyBytes += int64(f.Size)
	if unread {
		m.read(now, x, s, int64(f.Size))
		return
	}
	s.conn.useful = true
	x.reply = m.store(payload)
	m.acknowledged(x)
	m.conclude(now, x, Answered, "", s, wire.Frame{Kind: wire.Ack, Hash: f.Hash})
}

// replied is the open exchange that a reply, or a rejection in its place, is for;
// nil when there is none, and then the responder has been told.
func (m *Machine) replied(now time.Time, s *stream, f *wire.Frame) *outbound {
	p := s.conn.peer
	d := &p.dialer
	x := d.open[f.Seq]
	switch {
	case d.halt != nil: // nothing is decided until the operator renews
	case f.Epoch > maxEpoch:
		m.violate(now, s.conn, "a reply of an epoch that can't be")
	case s.carriesOther(x):
		m.violate(now, s.conn, "a reply on the stream of another exchange")
	case f.Epoch > d.epoch || f.Epoch == d.epoch && (f.Seq >= d.next || x != nil && (x.name.Tag != f.Tag || !x.wrote)):
		// What this journal never sent was sent all the same.
		d.known = max(d.known, f.Epoch)
		m.halt(now, p, ErrRolledBack, Name{m.config.Self, f.Tag})
	case f.Epoch < d.epoch || x == nil || x.state == Cancelling:
		m.send(s, wire.Frame{Kind: wire.Reject, Refusal: wire.Ended, Of: wire.OfReply, Epoch: f.Epoch, Seq: f.Seq, Tag: f.Tag}, Payload{})
	default:
		return x
	}
	return nil
}

// verdict tells the responder what became of its reply.
func (m *Machine) verdict(s *stream, x *outbound, f wire.Frame) {
	f.Of, f.Epoch, f.Seq = wire.OfReply, x.peer.dialer.epoch, x.seq
	if f.Kind == wire.Reject {
		f.Tag = x.name.Tag
	}
	m.send(s, f, Payload{})
}

// detach frees the stream on which an exchange was decided, and resets the
// exchange's own one when that is another: its answer is still to come.
func (m *Machine) detach(now time.Time, x *outbound, s *stream) {
	if x.stream != nil && x.stream != s {
		m.unbind(now, x)
	}
	x.stream = nil
	m.free(s)
}

// read has a large reply read. Its room is taken already.
func (m *Machine) read(now time.Time, x *outbound, s *stream, size int64) {
	s.occupy()
	x.reading, x.expects, s.out = s, size, x
	m.act(Accept{Conn: s.conn.id, Stream: s.id})
	x.retryAt(m, now.Add(m.config.AckTimeout))
}

// stopReading gives back the room of a large reply: it has come, or won't.
func (m *Machine) stopReading(x *outbound) {
	x.peer.dialer.stored -= x.expects
	m.room.replyBytes -= x.expects
	x.reading, x.expects = nil, 0
}
