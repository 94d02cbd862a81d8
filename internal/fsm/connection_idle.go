package fsm

import "time"

// tend closes a connection that this node dialled when its last exchange has
// ended, at once or after IdleTimeout: the automatic disconnection.
func (c *connection) tend(m *Machine, now time.Time) {
	if c.state != ConnUp {
		return
	}
	if c.peer.busy() || c.helloPending > 0 || len(c.held) > 0 {
		c.idleSince = time.Time{}
	} else if c.idleSince.IsZero() {
		c.idleSince = now
	}
	if c.dialed && !c.idleSince.IsZero() && !now.Before(c.idleSince.Add(m.config.IdleTimeout)) {
		if c.useful {
			c.peer.failures = 0 // an outage is over
		}
		m.hangUp(c, true)
		return
	}
	c.arm(m, now)
}

// arm sets the timer to the next moment at which the connection may be over.
// While frames come the disconnection timeout isn't moved with each: it is
// looked at again when it is due.
func (c *connection) arm(m *Machine, now time.Time) {
	at := c.progress.Add(m.config.DisconnectionTimeout)
	if c.timer.place != 0 && c.timer.at.Before(at) && c.timer.at.After(now) {
		at = c.timer.at
	}
	if c.dialed && !c.idleSince.IsZero() {
		at = earliest(at, c.idleSince.Add(m.config.IdleTimeout))
	}
	if len(c.held) > 0 {
		at = earliest(at, c.heldSince.Add(m.config.DisconnectionTimeout))
	}
	m.wakeAt(&c.timer, at)
}

// due closes a connection that is idle, that owes us its HELLO, or on which
// nothing has made progress for the disconnection timeout: what is open on it
// then resumes on another. Waiting for an application's answer, ours or the
// peer's, is no lack of progress: the P2P protocol finds connections that died.
func (c *connection) due(m *Machine, now time.Time) {
	if c.state != ConnUp {
		return
	}
	// A long HELLO on a slow line is nobody's fault.
	if len(c.held) > 0 && !now.Before(c.heldSince.Add(m.config.DisconnectionTimeout)) {
		m.stats.Timeouts++
		m.hangUp(c, false)
		m.touch(c.peer)
		return
	}
	if !now.Before(c.progress.Add(m.config.DisconnectionTimeout)) {
		switch {
		case c.stalled():
			m.stats.Timeouts++
			m.hangUp(c, false)
			m.touch(c.peer)
			return
		case !c.peer.busy():
			m.hangUp(c, true)
			m.touch(c.peer)
			return
		}
		c.progress = now // only applications are waited for
	}
	c.tend(m, now)
}

// stalled reports whether something on the connection waits for the peer.
func (c *connection) stalled() bool {
	if c.helloPending > 0 {
		return true
	}
	for _, s := range c.streams {
		if x := s.out; x != nil && (x.state == Sending || x.state == Cancelling || x.reading != nil) {
			return true
		}
		if y := s.in; y != nil && (y.state == Receiving || y.state == Replying) {
			return true
		}
	}
	return false
}
