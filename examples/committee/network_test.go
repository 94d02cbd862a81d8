package committee

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// network is a handler for each member, with the promises of the real one and
// nothing more: requests of a lane come in order, requests are given again after
// a crash until they are answered, replies until they are committed.
type network struct {
	t         *testing.T
	rng       *rand.Rand
	exchanges []*exchange                           // in the order in which they were made
	forge     func(x *exchange, body []byte) []byte // makes another reply of one, where set
	unlisted  map[identity.ID]bool                  // by all others
}

type exchange struct {
	parley.Message
	id              parley.ID
	requestGiven    int // times, in all runs
	requestInHand   bool
	answer          []byte
	answered        bool
	replyGiven      int
	replyCommitted  bool
	rejected        bool
	rejectionReason string
}

// node is one member's handler during one run.
type node struct {
	*network
	self   identity.ID
	fate   *fate
	inHand *exchange // whose reply the next CheckReceive commits
}

// start is a new run after a crash, or the first.
func (n *network) start(self identity.ID, fate *fate) *node {
	for _, x := range n.exchanges {
		if x.Peer == self {
			x.requestInHand = false
		}
	}
	return &node{network: n, self: self, fate: fate}
}

func (n *node) Send(messages ...parley.Message) ([]parley.ID, error) {
	n.fate.strike()
	if err := n.refuse(messages); err != nil {
		return nil, err
	}
	ids := make([]parley.ID, len(messages))
	for i, message := range messages {
		x := n.made(message)
		if x == nil {
			x = &exchange{Message: message, id: parley.ID{Dialer: n.self}}
			for b := range x.id.Tag {
				x.id.Tag[b] = byte(n.rng.Uint32())
			}
			n.exchanges = append(n.exchanges, x)
		} else if !bytes.Equal(x.Body, message.Body) {
			return nil, fmt.Errorf("%w: %s", parley.ErrKeyReused, message.Key)
		}
		ids[i] = x.id
	}
	n.fate.strike()
	return ids, nil
}

func (n *node) made(message parley.Message) *exchange {
	return n.find(func(x *exchange) bool { return x.id.Dialer == n.self && x.Key == message.Key })
}

// refuse refuses new requests of peers that aren't listed.
func (n *node) refuse(messages []parley.Message) error {
	for _, message := range messages {
		if n.unlisted[message.Peer] && n.made(message) == nil {
			return &parley.PeerError{Peer: message.Peer, Err: parley.ErrNotListed}
		}
	}
	return nil
}

func (n *node) CheckReceive() (parley.Event, bool) {
	if n.inHand != nil {
		n.inHand.replyCommitted = true
		n.inHand = nil
	}
	n.fate.strike()
	var ready []*exchange
	engaged := map[string]bool{}
	for _, x := range n.exchanges {
		lane := x.id.Dialer.String() + x.Peer.String() + x.Lane
		if x.Peer == n.self && !x.answered && !x.requestInHand && !engaged[lane] {
			ready = append(ready, x)
		}
		if x.id.Dialer == n.self && x.answered && !x.replyCommitted {
			ready = append(ready, x)
		}
		engaged[lane] = engaged[lane] || !x.answered
	}
	if len(ready) == 0 {
		return parley.Event{}, false
	}
	x := ready[n.rng.IntN(len(ready))]
	event := parley.Event{ID: x.id, Lane: x.Lane}
	switch {
	case x.Peer == n.self:
		x.requestInHand = true
		x.requestGiven++
		event.Kind, event.Peer, event.Body, event.Redelivered = parley.RequestReceived, x.id.Dialer, x.Body, x.requestGiven > 1
	case x.rejected:
		x.replyGiven++
		n.inHand = x
		event.Kind, event.Peer = parley.ExchangeFailed, x.Peer
		event.Err = &parley.RejectedError{Peer: x.Peer, ID: x.id, Reason: x.rejectionReason}
	default:
		x.replyGiven++
		n.inHand = x
		event.Kind, event.Peer, event.Body, event.Redelivered = parley.ReplyReceived, x.Peer, x.answer, x.replyGiven > 1
	}
	return event, true
}

func (n *node) Reply(id parley.ID, body []byte) error {
	return n.end(id, func(x *exchange) {
		x.answer = body
		if n.forge != nil {
			x.answer = n.forge(x, body)
		}
	})
}

func (n *node) Reject(id parley.ID, reason string) error {
	return n.end(id, func(x *exchange) { x.rejected, x.rejectionReason = true, reason })
}

func (n *node) end(id parley.ID, how func(*exchange)) error {
	n.fate.strike()
	x := n.find(func(x *exchange) bool { return x.id == id && x.Peer == n.self })
	switch {
	case x == nil:
		return parley.ErrUnknown
	case x.answered:
		return parley.ErrAnswered
	}
	x.answered = true
	how(x)
	n.fate.strike()
	return nil
}

func (n *network) find(is func(*exchange) bool) *exchange {
	for _, x := range n.exchanges {
		if is(x) {
			return x
		}
	}
	return nil
}
