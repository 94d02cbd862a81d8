package committee

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// askAgain is after how long a peer that was off the allow list is asked again.
const askAgain = 100 * time.Millisecond

// ask makes the requests that are due and of which the state doesn't know that
// they were made. A crash between making one and noting it does no harm: it is
// made again under the same key and is the same exchange.
func (m *Member) ask() error {
	m.askAt = time.Time{}
	due := m.due()
	size := min(sendMax, 1+sendBytes/(1+m.committee.MessageSize))
	for len(due) > 0 {
		batch := due[:min(size, len(due))]
		err := m.send(batch)
		if about := new(parley.PeerError); errors.Is(err, parley.ErrNotListed) && errors.As(err, &about) {
			due, err = m.withhold(due, about.Peer)
		} else {
			due = due[len(batch):]
		}
		if errors.Is(err, parley.ErrQueueFull) {
			return nil // each that ends is an event, and makes room for another
		} else if err != nil {
			return err
		}
	}
	return nil
}

// withhold takes a peer that is off the allow list out of what is due: it will be
// asked again. What it was asked before a crash, though, is made again now, as
// the replies may be here already: those come first.
func (m *Member) withhold(due []dueRequest, peer identity.ID) (others []dueRequest, err error) {
	m.askAt = m.state.now().Add(askAgain)
	asked := true
	for _, d := range due {
		switch {
		case d.peer != peer:
			others = append(others, d)
		case asked:
			err := m.send([]dueRequest{d})
			if asked = err == nil; !asked && !errors.Is(err, parley.ErrNotListed) {
				return nil, err
			}
		}
	}
	return others, nil
}

type dueRequest struct {
	request
	peer identity.ID
}

// due are the requests that follow from the state and aren't made.
func (m *Member) due() (due []dueRequest) {
	wanted := m.wanted()
	for _, peer := range m.committee.Members {
		if peer == m.self {
			continue
		}
		for _, req := range wanted {
			if _, made := m.state.made[question{req.Ask, peer}]; !made {
				due = append(due, dueRequest{req, peer})
			}
		}
	}
	return due
}

// wanted is what this member asks, of every other alike: the keys; all nonces
// once the keys are known; and each partial signature once it has signed itself,
// so that it never asks for more than it gives. Within a program all nonces come
// before the partial signatures: else two members could each wait, behind the
// other's request for a partial signature, for a nonce.
func (m *Member) wanted() []request {
	wanted := []request{{Ask: Ask{Subject: Key}}}
	if m.signers == nil {
		return wanted
	}
	var partials []request
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		wanted = append(wanted, request{Ask: Ask{Nonce, current}})
		if r := m.state.round(current); r.partial != nil {
			partials = append(partials, request{Ask: Ask{Partial, current}, Sighash: r.sighash, AggregateNonce: r.aggregate[:]})
		}
	}
	return append(wanted, partials...)
}

// send makes requests with one sync of the handler's, and notes them. The notes
// are durable with the next fact that is, hence before any that follow from them.
func (m *Member) send(batch []dueRequest) error {
	messages := make([]parley.Message, len(batch))
	for i, due := range batch {
		message, err := m.committee.message(due.peer, due.request)
		if err != nil {
			return err
		}
		messages[i] = message
	}
	before := m.state.now().UnixMicro()
	ids, err := m.handler.Send(messages...)
	if err != nil {
		return fmt.Errorf("making %d requests: %w", len(messages), err)
	}
	for i, due := range batch {
		err := m.state.append(Record{Kind: RequestMade, Time: before, Exchange: ids[i], Peer: due.peer, Ask: due.Ask})
		if err != nil {
			return err
		}
	}
	return nil
}
