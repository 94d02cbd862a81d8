package fsm

import (
	"cmp"
	"slices"
	"time"
)

// Stats counts what happened since the machine was made.
type Stats struct {
	Requests   uint64 // stored here for peers
	Replies    uint64 // sent, resent ones too
	Answered   uint64 // exchanges made here, by their ends
	Rejected   uint64
	Expired    uint64
	Cancelled  uint64
	Resends    uint64 // of a request, or its RESUME
	Dials      uint64
	Redials    uint64 // of those, after a failure
	Nacks      uint64 // received
	NacksSent  uint64
	Timeouts   uint64 // acknowledgements that didn't come, connections without progress
	Violations uint64
}

func (s *Stats) ended(outcome DialerState) {
	switch outcome {
	case Answered:
		s.Answered++
	case Rejected:
		s.Rejected++
	case Expired:
		s.Expired++
	case Cancelled:
		s.Cancelled++
	}
}

// PeerView is what is known of a peer.
type PeerView struct {
	Peer        Peer
	Listed      bool
	Connections int
	Dialing     bool
	Failures    int       // dials that failed since one succeeded
	Redial      time.Time // the next dial, where one is set
	Address     string
	Made        int   // exchanges made with it, not ended
	Asked       int   // exchanges that it made, not ended
	Halt        error // nil unless halted
	// KeptOut: until when, for the rule that it Broke last; zero: it isn't.
	KeptOut time.Time
	Broke   string
	// Limited: the limit of its own that it reached within the last minute.
	Limited string
}

// Stats returns the counters.
func (m *Machine) Stats() Stats { return m.stats }

// Exchange is one exchange, open or remembered.
func (m *Machine) Exchange(name Name) (Summary, bool) {
	if x := m.made[name.Tag]; x != nil && name.Dialer == m.config.Self {
		return x.summary(), true
	}
	if y := m.got[name]; y != nil {
		return y.summary(), true
	}
	if s := m.history.find(name); s != nil {
		return *s, true
	}
	return Summary{}, false
}

// Message returns the payload that the application has yet to do with: an unanswered
// request, or a reply whose exchange isn't committed.
func (m *Machine) Message(name Name) (Payload, bool) {
	if y := m.got[name]; y != nil && (y.state == Stored || y.state == Delivered) {
		return y.payload, true
	}
	if x := m.made[name.Tag]; x != nil && x.outcome == Answered && name.Dialer == m.config.Self {
		return x.reply, true
	}
	return Payload{}, false
}

// HasEnded reports whether an exchange that a peer made is over here, by its number.
func (m *Machine) HasEnded(dialer Peer, epoch, seq uint64) bool {
	p := m.peers[dialer]
	return p != nil && (epoch < p.responder.epoch || epoch == p.responder.epoch && p.responder.ended.has(seq))
}

// Exchanges is every open exchange, and every outcome not yet committed, the
// oldest first.
func (m *Machine) Exchanges() []Summary {
	all := make([]Summary, 0, len(m.made)+len(m.got))
	for _, x := range m.made {
		all = append(all, x.summary())
	}
	for _, y := range m.got {
		all = append(all, y.summary())
	}
	slices.SortFunc(all, func(a, b Summary) int {
		if c := a.Made.Compare(b.Made); c != 0 {
			return c
		}
		return cmp.Compare(string(a.Name.Tag[:]), string(b.Name.Tag[:]))
	})
	return all
}

// Peers is every peer that is listed or has been heard of, in order of their IDs.
func (m *Machine) Peers(now time.Time) []PeerView {
	views := make([]PeerView, 0, len(m.peers))
	for _, p := range m.inOrder() {
		v := PeerView{
			Peer: p.id, Listed: p.listed || p.torn != nil && p.torn.listed, Connections: len(p.conns), Dialing: p.dialing, Failures: p.failures,
			Address: p.address(), Made: len(p.dialer.open), Asked: len(p.responder.open), Halt: p.dialer.halt,
		}
		if p.redial.place != 0 {
			v.Redial = p.redial.at
		}
		if v.KeptOut = m.keptOut(p.id, now); !v.KeptOut.IsZero() {
			v.Broke = m.blamed[p.id].rule
		}
		v.Limited = p.pace.limited(now)
		views = append(views, v)
	}
	return views
}
