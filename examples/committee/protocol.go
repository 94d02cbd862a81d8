package committee

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// Subject is what one member asks another for.
type Subject string

// In the order in which they are asked.
const (
	Key     Subject = "key"     // the other's public key: 33 bytes
	Nonce   Subject = "nonce"   // its public nonce for a round: 66 bytes
	Partial Subject = "partial" // its partial signature of a round: 32 bytes
)

// Ask is one question; a member puts each to each other member once.
type Ask struct {
	Subject Subject `json:"subject"`
	Round
}

func (a Ask) String() string {
	if a.Subject == Key {
		return string(a.Subject)
	}
	return string(a.Subject) + "/" + a.Round.String()
}

// Answer is what the responder stores and sends.
type Answer struct {
	Value Bytes `json:"value,omitempty"`
	// Void instead of a partial signature: the responder's nonce of that round
	// is gone, so that nobody can finish it. All go on to the next attempt.
	Void bool `json:"void,omitempty"`
}

// request is a message's body: the question and, for a partial signature, what
// the dialer has signed itself, so that a difference shows before it does harm.
type request struct {
	Ask
	Sighash        Bytes `json:"sighash,omitempty"`
	AggregateNonce Bytes `json:"aggregate_nonce,omitempty"`
}

// message makes the request that asks peer. The same state gives the same
// bytes: after a crash the request is made again under its key, and is the same
// exchange if it was made before.
func (c *Committee) message(peer identity.ID, req request) (parley.Message, error) {
	body, err := encode(req, c.MessageSize)
	if err != nil {
		return parley.Message{}, err
	}
	return parley.Message{
		Peer: peer, Lane: c.lane(req.Ask),
		Key: req.Ask.String() + "/" + peer.String(), Body: body,
	}, nil
}

// lane gives each program its own, so that programs proceed side by side. A
// repeated attempt leaves its program's lane for its transaction's: its nonces
// would wait there behind partial signatures that, at the other end, wait for
// such nonces.
func (c *Committee) lane(ask Ask) string {
	switch {
	case ask.Subject == Key:
		return "keys"
	case ask.Attempt > 1:
		return fmt.Sprintf("program-%d/tx-%d", c.program(ask.Transaction), ask.Transaction)
	default:
		return fmt.Sprintf("program-%d", c.program(ask.Transaction))
	}
}

// encode writes a message as JSON, padded with spaces to size bytes.
func encode(message any, size int) ([]byte, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	if missing := size - len(body); missing > 0 {
		body = append(body, bytes.Repeat([]byte(" "), missing)...)
	}
	return body, nil
}

// parseRequest refuses what no member of this committee would ask.
func (c *Committee) parseRequest(body []byte) (request, error) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return req, fmt.Errorf("request: %w", err)
	}
	switch req.Subject {
	case Key:
		if req.Round != (Round{}) {
			return req, fmt.Errorf("request for a key names %s", req.Round)
		}
	case Nonce, Partial:
		if req.Transaction < 0 || req.Transaction >= c.Transactions {
			return req, fmt.Errorf("request for transaction %d of %d", req.Transaction, c.Transactions)
		}
		if req.Attempt < 1 || req.Attempt > maxAttempts {
			return req, fmt.Errorf("request for attempt %d: want 1 to %d", req.Attempt, maxAttempts)
		}
	default:
		return req, fmt.Errorf("request for %q: want key, nonce or partial", req.Subject)
	}
	return req, nil
}

func parseAnswer(body []byte) (answer Answer, err error) {
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("not an answer: %w", err)
	}
	return answer, nil
}
