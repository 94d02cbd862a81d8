package parley

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// peerOf and idOf convert between a peer ID and the machine's plain kind.
func peerOf(id identity.ID) fsm.Peer { return fsm.Peer(id.Bytes()) }

func idOf(p fsm.Peer) identity.ID { return checked.id(p) }

// maxChecked bounds the peer IDs remembered as checked; beyond it all are checked
// anew.
const maxChecked = 4096

// checked remembers the peer IDs that were taken apart before: checking one
// parses its key, which costs more than the rest of an event.
var checked ids

type ids struct {
	mu    sync.RWMutex
	known map[fsm.Peer]identity.ID // at most maxChecked
}

// id is zero for what is no peer ID, as in a notice about a stranger.
func (c *ids) id(p fsm.Peer) identity.ID {
	c.mu.RLock()
	id, found := c.known[p]
	c.mu.RUnlock()
	if found {
		return id
	}
	id, err := identity.FromBytes([]byte(p))
	if err != nil {
		return identity.ID{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxChecked {
		c.known = map[fsm.Peer]identity.ID{}
	}
	c.known[p] = id
	return id
}

func nameOf(id ID) fsm.Name { return fsm.Name{Dialer: peerOf(id.Dialer), Tag: id.Tag} }
func idOfName(n fsm.Name) ID {
	if n == (fsm.Name{}) {
		return ID{}
	}
	return ID{Dialer: idOf(n.Dialer), Tag: n.Tag}
}

// eventOf is what the application sees of a delivery, its body aside.
func eventOf(d fsm.Delivery) Event {
	e := Event{
		ID: idOfName(d.Name), Peer: idOf(d.Peer), Address: d.Address, Lane: d.Lane, Time: d.Time, Deadline: d.Deadline,
		Redelivered: d.Redelivered, PossiblySeen: d.PossiblySeen,
	}
	switch d.Kind {
	case fsm.RequestReceived:
		e.Kind = RequestReceived
	case fsm.RequestAbandoned:
		e.Kind, e.Err = RequestAbandoned, &PeerError{e.Peer, e.ID, ErrAbandoned}
	case fsm.ReplyReceived:
		e.Kind = ReplyReceived
	case fsm.RequestRejected:
		e.Kind, e.Err = ExchangeFailed, &RejectedError{e.Peer, e.ID, d.Reason}
	case fsm.RequestExpired:
		e.Kind, e.Err = ExchangeFailed, &PeerError{e.Peer, e.ID, ErrExpired}
	case fsm.RequestCancelled:
		e.Kind, e.Err = ExchangeFailed, &PeerError{e.Peer, e.ID, ErrCancelled}
	}
	return e
}

// eventOfNotice is what the application sees of a notice.
func eventOfNotice(n fsm.Notice) Event {
	e := Event{Peer: idOf(n.Peer), ID: idOfName(n.Name), Address: n.Address, Time: n.Time, Count: max(n.Count, 1), Until: n.Until, Err: errors.New(n.Detail)}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	full := n.Detail == fsm.ErrDiskFull.Error()
	if full {
		e.Err = ErrDiskFull
	}
	switch n.Kind {
	case fsm.MessageDropped:
		e.Kind = MessageDropped
	case fsm.ConnectionLimit:
		e.Kind = ConnectionLimitHit
	case fsm.Violation:
		e.Kind = ProtocolViolation
	case fsm.StrangerRefused:
		e.Kind = StrangerRefused
	case fsm.IdentityMismatch:
		e.Kind = IdentityMismatch
	case fsm.PeerSuspended:
		e.Kind = PeerSuspended
	case fsm.PeerFenced:
		e.Kind, e.Err = PeerHalted, ErrFenced
	case fsm.JournalRolledBack:
		e.Kind, e.Err = PeerHalted, ErrRolledBack
	case fsm.PeerMismatch:
		e.Kind, e.Err = PeerHalted, ErrMismatch
	case fsm.RecordContradicts:
		e.Kind, e.Err = PeerHalted, fmt.Errorf("%w (%s)", ErrContradicts, n.Detail)
	case fsm.PeerDiffers:
		e.Kind = PeerDiffers
	case fsm.PeerLostJournal:
		e.Kind = PeerLostJournal
	case fsm.PeerLimited:
		e.Kind = PeerLimited
	case fsm.JournalTrouble:
		e.Kind = JournalTrouble
		if !full { // else nothing has failed: it goes on once there is room
			e.Err = fmt.Errorf("%w: %w", ErrJournal, e.Err)
		}
	}
	if !e.Peer.IsZero() {
		e.Err = &PeerError{Peer: e.Peer, ID: e.ID, Err: e.Err}
	}
	return e
}
