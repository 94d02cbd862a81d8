package parley

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// Exchange is an exchange as it stands, or as it ended.
type Exchange struct {
	ID       ID
	Peer     identity.ID // the other side
	Dialer   bool        // this node made the request
	State    string      // see docs/state-machines.md
	Lane     string
	Key      string
	Made     time.Time // or stored, where a peer made it
	Ended    time.Time // zero while open
	Deadline time.Time
	// RequestSize and ReplySize are in bytes.
	RequestSize, ReplySize int64
	Reason                 string // of a rejection
	Acknowledged           bool   // the responder has the request
	Taken                  bool   // and its application took it
	PossiblySeen           bool
	Failures               int       // attempts that failed since one succeeded
	PutOff                 bool      // by the peer, at the last of them: it takes nothing more of this node for a while
	Retry                  time.Time // the next attempt, where one is set
}

// PeerStatus is how things stand with a peer.
type PeerStatus struct {
	Peer        identity.ID
	Listed      bool
	Connections int
	Dialing     bool
	Failures    int       // dials that failed since one succeeded
	Redial      time.Time // the next dial, where one is set
	Address     string
	Made        int   // exchanges made with it, not ended
	Asked       int   // exchanges that it made, not ended
	Halt        error // ErrFenced, ErrRolledBack, ErrMismatch or ErrContradicts; nil while all is well
	// KeptOutUntil is when the peer is let in again that Broke a rule of the
	// protocol; zero while it isn't kept out.
	KeptOutUntil time.Time
	Broke        string
	Limited      string // the limit on its requests that it reached within the last minute; empty: none
}

// Stats counts what happened since New.
type Stats struct {
	Requests   uint64 // of peers, stored here
	Replies    uint64 // sent, resent ones too
	Answered   uint64 // exchanges made here, by their ends
	Rejected   uint64
	Expired    uint64
	Cancelled  uint64
	Resends    uint64 // of a request, or of its resumption
	Dials      uint64
	Redials    uint64 // of those, after a failure
	Nacks      uint64 // received
	NacksSent  uint64
	Timeouts   uint64 // acknowledgements that didn't come, connections without progress
	Violations uint64 // of the protocol, by peers
	Syncs      uint64 // of the journal, by exchanges; one serves all that wait for it
}

// look reads the machine between two turns.
func (h *Handler) look(at func(*fsm.Machine)) error {
	_, err := h.call(mediator.Command{Look: at})
	return err
}

// Exchange returns an exchange: open, or ended as long as its history is kept.
// Errors: ErrUnknown, ErrClosed.
func (h *Handler) Exchange(id ID) (Exchange, error) {
	var s fsm.Summary
	var found bool
	if err := h.look(func(m *fsm.Machine) { s, found = m.Exchange(nameOf(id)) }); err != nil {
		return Exchange{}, err
	}
	if !found {
		return Exchange{}, public(fsm.ErrUnknown, id.Dialer, id)
	}
	return exchangeOf(s), nil
}

// Exchanges returns all that are open, and those whose end isn't committed, the
// oldest first; nil when the handler is closed.
func (h *Handler) Exchanges() []Exchange {
	var summaries []fsm.Summary
	h.lookOrNothing(func(m *fsm.Machine) { summaries = m.Exchanges() })
	var all []Exchange
	for _, s := range summaries {
		all = append(all, exchangeOf(s))
	}
	return all
}

// Peers returns how things stand with every peer that is listed or has been heard
// of; nil when the handler is closed.
func (h *Handler) Peers() []PeerStatus {
	var views []fsm.PeerView
	h.lookOrNothing(func(m *fsm.Machine) { views = m.Peers(time.Now()) })
	var all []PeerStatus
	for _, v := range views {
		all = append(all, PeerStatus{
			Peer: idOf(v.Peer), Listed: v.Listed, Connections: v.Connections, Dialing: v.Dialing, Failures: v.Failures,
			Redial: v.Redial, Address: v.Address, Made: v.Made, Asked: v.Asked, Halt: public(v.Halt, identity.ID{}, ID{}),
			KeptOutUntil: v.KeptOut, Broke: v.Broke, Limited: v.Limited,
		})
	}
	return all
}

// Stats returns the counters; all zero when the handler is closed.
func (h *Handler) Stats() Stats {
	var s Stats
	h.lookOrNothing(func(m *fsm.Machine) {
		c := m.Stats()
		s = Stats{
			Requests: c.Requests, Replies: c.Replies, Answered: c.Answered, Rejected: c.Rejected, Expired: c.Expired, Cancelled: c.Cancelled,
			Resends: c.Resends, Dials: c.Dials, Redials: c.Redials, Nacks: c.Nacks, NacksSent: c.NacksSent, Timeouts: c.Timeouts,
			Violations: c.Violations, Syncs: h.syncs.Load(),
		}
	})
	return s
}

// lookOrNothing is look for what has no error to return: a closed handler has
// nothing to show.
func (h *Handler) lookOrNothing(at func(*fsm.Machine)) {
	if err := h.look(at); err != nil && !errors.Is(err, ErrClosed) {
		h.log.Error("looking at the exchanges failed", "error", err)
	}
}

// longTurn is for how long the mediator may be in one turn, which takes milliseconds
// where the disk does.
const longTurn = 20 * time.Second

// Healthy returns why nothing can be exchanged any more: ErrClosed, ErrJournal when
// nothing can be stored, or ErrStuck. Nil: all is well. It never waits.
func (h *Handler) Healthy() error {
	if h.isClosed() {
		return ErrClosed
	}
	if err := h.journal.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return stuck(h.loop.Busy())
}

func stuck(busy time.Duration) error {
	if busy < longTurn {
		return nil
	}
	return fmt.Errorf("%w: for %s", ErrStuck, busy.Round(time.Second))
}

// Room returns ErrDiskFull while nothing more is accepted because the disk is nearly
// full; nil else.
func (h *Handler) Room() error {
	if h.journal.Low() {
		return ErrDiskFull
	}
	return nil
}

// Disconnect closes all connections with a peer. What is open resumes on the next.
// Error: ErrClosed.
func (h *Handler) Disconnect(peer identity.ID) error {
	return h.pass(fsm.Hangup{Peer: peerOf(peer)})
}

// Renew starts a new epoch towards a peer: the way out of ErrFenced,
// ErrRolledBack and ErrMismatch, once the operator knows that no other process
// uses the key. Open requests are sent again under their IDs, marked as possibly
// seen. It is the way out of ErrContradicts too, where there is no backup: a request
// of which no sense can be made ends as cancelled, and where the records of what the
// peer asked contradict each other it is told that they were lost. Errors: ErrUnknown when nothing was ever requested of the peer.
func (h *Handler) Renew(peer identity.ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Renew{Peer: peerOf(peer)}})
	return public(err, peer, ID{})
}

// Forget drops a reply that its dialer never fetched. Should it ask after all it
// is told that the operator dropped it. Errors: ErrUnknown, ErrOpen.
func (h *Handler) Forget(id ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Forget{Name: nameOf(id)}})
	return public(err, id.Dialer, id)
}

func exchangeOf(s fsm.Summary) Exchange {
	e := Exchange{
		ID: idOfName(s.Name), Peer: idOf(s.Peer), Dialer: s.Dialer != 0, Lane: s.Lane, Key: s.Key, Made: s.Made, Ended: s.Ended,
		Deadline: s.Deadline, RequestSize: s.RequestSize, ReplySize: s.ReplySize, Reason: s.Reason, Acknowledged: s.Acknowledged,
		Taken: s.Taken, PossiblySeen: s.PossiblySeen, Failures: s.Failures, PutOff: s.PutOff, Retry: s.Retry,
	}
	if e.Dialer {
		e.State = s.Dialer.String()
	} else {
		e.State = s.Responder.String()
	}
	return e
}
