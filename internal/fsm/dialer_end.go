package fsm

import (
	"errors"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// due is the exchange's timer: its deadline has passed, or it is time to try again.
func (x *outbound) due(m *Machine, now time.Time) {
	if x.outcome == 0 && !x.deadline.IsZero() && !now.Before(x.deadline) {
		m.giveUp(now, x, Expired)
		return
	}
	if x.retry.IsZero() || now.Before(x.retry) {
		x.arm(m)
		return
	}
	x.retryAt(m, time.Time{})
	switch x.state {
	case Sending: // no acknowledgement came
		m.stats.Timeouts++
		m.unbind(now, x)
		m.putOff(now, x, 0)
	case Awaiting, Backoff, Cancelling:
		m.unbind(now, x)
		m.start(now, x)
	}
	m.touch(x.peer)
}

// putOff tries an exchange again after the growing delay, or after what the
// peer asked for when that is longer.
func (m *Machine) putOff(now time.Time, x *outbound, atLeast time.Duration) {
	x.failures++
	x.putOffByPeer = atLeast > 0
	x.become(Backoff)
	// A wish for years is a peer's mistake or malice, and nobody would notice.
	atLeast = min(atLeast, m.config.PollMax)
	x.retryAt(m, now.Add(max(atLeast, m.backoff(x.failures, m.config.RetryMax))))
}

// interrupted goes on with an exchange that lost its stream: on another
// connection when there is one, else when there is.
func (m *Machine) interrupted(now time.Time, x *outbound) {
	x.waiting = false
	switch {
	case x.state == Suspended || x.state == Halted:
	case x.peer.usable() == nil:
		x.become(Backoff)
		x.retryAt(m, time.Time{})
	case x.state == Awaiting: // the reply can come on a stream of the responder's
		x.failures++
		x.retryAt(m, now.Add(m.backoff(x.failures, m.config.PollMax)))
	default:
		m.putOff(now, x, 0)
	}
	m.touch(x.peer)
}

// cancel ends an exchange by the application's word.
func (m *Machine) cancel(now time.Time, in Cancel) {
	x := m.made[in.Name.Tag]
	switch {
	case x == nil || in.Name.Dialer != m.config.Self:
		m.answer(in.Call, m.unknown(in.Name))
	case x.outcome != 0:
		m.answer(in.Call, ErrEnded)
	default:
		m.giveUp(now, x, Cancelled)
		m.answer(in.Call, nil)
	}
}

// giveUp ends an exchange from this side: the outcome is durable and told at
// once. One that was sent keeps its lane until the responder knows, or else a
// REQUEST left in an old socket would be delivered after its cancel, and out of
// the lane's order.
func (m *Machine) giveUp(now time.Time, x *outbound, outcome DialerState) {
	m.outcome(now, x, outcome, "")
	if !x.wrote {
		x.state = outcome
		x.peer.dialer.silent++
		m.leave(now, x)
		return
	}
	x.state = Cancelling
	x.retryAt(m, time.Time{})
	s := x.stream
	if s == nil || s.conn.state != ConnUp || x.payload.Size > wire.MaxInline || x.reading != nil {
		m.unbind(now, x) // a large payload on its way would hold the CANCEL up
		x.waiting = false
		m.start(now, x)
		return
	}
	m.sendCancel(now, x)
}

// conclude ends an exchange by the responder's word, which came on a stream and
// is acknowledged there, once the outcome is durable. The next request of the
// lane may ride in the same write.
func (m *Machine) conclude(now time.Time, x *outbound, outcome DialerState, reason string, s *stream, verdict wire.Frame) {
	m.outcome(now, x, outcome, reason)
	d := &x.peer.dialer
	d.endedSinceHello = true
	if !d.unconfirmed {
		d.unconfirmed = true
		m.save(d)
	}
	x.state = outcome
	m.verdict(s, x, verdict)
	m.detach(now, x, s)
	m.leave(now, x)
}

// outcome makes an exchange's end durable, and has it told.
func (m *Machine) outcome(now time.Time, x *outbound, outcome DialerState, reason string) {
	x.outcome, x.reason, x.ended, x.ordinal = outcome, reason, now, m.nextOrdinal()
	m.room.queuedBytes -= x.payload.Size
	if x.reading != nil && x.reading != x.stream {
		m.reset(now, x.reading) // a reply that isn't wanted any more
	}
	m.drop(&x.payload)
	m.stats.ended(outcome)
	m.save(x)
	m.sync()
	m.outbox.push(x)
}

// confirmed frees the lane of an exchange that was given up: the responder knows.
func (m *Machine) confirmed(now time.Time, x *outbound) {
	x.state = x.outcome
	m.leave(now, x)
	if x.committed {
		m.forgetOutbound(now, x)
	} else {
		m.save(x)
	}
}

// commit notes that the application is done with an outcome.
func (m *Machine) commit(now time.Time, in Commit) {
	x := m.made[in.Name.Tag]
	switch {
	case x == nil || in.Name.Dialer != m.config.Self:
		err := m.unknown(in.Name)
		if errors.Is(err, ErrEnded) {
			err = nil // committed before
		}
		m.answer(in.Call, err)
		return
	case x.outcome == 0 || m.outbox.waits(x):
		m.answer(in.Call, ErrOpen)
		return
	}
	x.committed = true
	m.outbox.remove(x)
	x.peer.dialer.stored -= x.reply.Size
	m.room.replyBytes -= x.reply.Size
	m.drop(&x.reply)
	if x.state == Cancelling {
		m.save(x)
	} else {
		m.forgetOutbound(now, x)
	}
	if in.Call != 0 {
		m.sync()
		m.answer(in.Call, nil)
	}
}

// forgetOutbound moves an exchange that is over in every respect into history.
func (m *Machine) forgetOutbound(now time.Time, x *outbound) {
	delete(m.made, x.name.Tag)
	x.peer.dialer.kept--
	m.save(x) // which deletes its record
	m.remember(now, x.summary())
}

// unknown is why a name names no open exchange.
func (m *Machine) unknown(name Name) error {
	if m.history.find(name) != nil {
		return ErrEnded
	}
	if name.Dialer == m.config.Self && m.aside[name.Tag] != nil {
		return ErrContradicts
	}
	return ErrUnknown
}
