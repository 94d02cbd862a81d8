package committee

import (
	"errors"
	"fmt"

	"github.com/parley-p2p/parley"
)

// ask makes the requests that are due and of which the state doesn't know that
// they were made. A crash between making one and noting it does no harm: it is
// made again under the same key and is the same exchange.
func (m *Member) ask() error {
	due, err := m.due()
	if err != nil {
		return err
	}
	for len(due) > 0 {
		batch := due[:min(sendMax, len(due))]
		if err := m.send(batch); errors.Is(err, parley.ErrQueueFull) {
			m.behind = true // as some end there is room for others
			return nil
		} else if err != nil {
			return err
		}
		due = due[len(batch):]
	}
	return nil
}

// send makes requests with one sync of the handler's, and notes them. The notes
// are durable with the next fact that is, hence before any that follow from them.
func (m *Member) send(batch []dueRequest) error {
	messages := make([]parley.Message, len(batch))
	for i, due := range batch {
		messages[i] = due.message
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

type dueRequest struct {
	question
	message parley.Message
}

// due are the requests that follow from the state and aren't made: the keys; all
// nonces once the keys are known; and each partial signature once this member
// has signed, so that it never asks for more than it gives.
func (m *Member) due() (due []dueRequest, err error) {
	for _, seat := range m.committee.Seats {
		if seat.ID == m.self {
			continue
		}
		for _, req := range m.wanted() {
			asked := question{req.Ask, seat.ID}
			if _, made := m.state.made[asked]; made {
				continue
			}
			message, err := m.committee.message(seat, req)
			if err != nil {
				return nil, err
			}
			due = append(due, dueRequest{asked, message})
		}
	}
	return due, nil
}

// wanted is what this member asks, of every other alike. Within a program all
// nonces come before the partial signatures: else two members could each wait,
// behind the other's request for a partial signature, for a nonce.
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
