package committee

import (
	"bytes"
	"errors"

	"github.com/parley-p2p/parley"
)

// answer replies to the open requests that can be answered now. The effect, the
// exchange's ID and the answer are stored as one before any reply leaves.
func (m *Member) answer() error {
	var answered []parley.ID
	for id, req := range m.open {
		if m.differs(req) {
			if err := m.reject(id, "sighash or nonces differ from this member's"); err != nil {
				return err
			}
			continue
		}
		answer, ready := m.answerTo(req.Ask)
		if !ready {
			continue
		}
		err := m.state.append(Record{Kind: RequestApplied, Exchange: id, Peer: req.peer, Ask: req.Ask, Answer: answer})
		if err != nil {
			return err
		}
		answered = append(answered, id)
	}
	if err := m.state.Sync(); err != nil {
		return err
	}
	for _, id := range answered {
		delete(m.open, id)
		if err := m.reply(id, m.state.answers[id]); err != nil {
			return err
		}
	}
	return nil
}

// answerTo is the answer as far as there is one yet. The member keeps the
// request otherwise, and the lane waits, while others go on.
func (m *Member) answerTo(ask Ask) (answer Answer, ready bool) {
	if ask.Subject == Key {
		return Answer{Value: m.state.key.PubKey().SerializeCompressed()}, true
	}
	r := m.state.round(ask.Round)
	switch {
	case ask.Subject == Nonce:
		return Answer{Value: r.public[:]}, r.made
	case r.partial != nil:
		value := r.partial.S.Bytes()
		return Answer{Value: value[:]}, true
	default: // it will not be signed once this member is at a further attempt
		return Answer{Void: true}, ask.Attempt < m.state.current(ask.Transaction).Attempt
	}
}

// differs reports whether the dialer has signed something else, as far as this
// member has signed.
func (m *Member) differs(req openRequest) bool {
	if req.Subject != Partial {
		return false
	}
	r := m.state.round(req.Round)
	return r.partial != nil && !(bytes.Equal(req.Sighash, r.sighash) && bytes.Equal(req.AggregateNonce, r.aggregate[:]))
}

// reply sends an answer that is stored.
func (m *Member) reply(id parley.ID, answer Answer) error {
	body, err := encode(answer, m.committee.MessageSize)
	if err != nil {
		return err
	}
	return unlessOver(m.handler.Reply(id, body))
}

// reject refuses a request for good. Its dialer's signing ends there.
func (m *Member) reject(id parley.ID, reason string) error {
	delete(m.open, id)
	m.logger.Warn("request rejected", "exchange", id, "reason", reason)
	return unlessOver(m.handler.Reject(id, reason))
}

// unlessOver passes over what is no failure: that the handler had the answer
// before a crash, or that nobody wants it any more.
func unlessOver(err error) error {
	if errors.Is(err, parley.ErrAnswered) || errors.Is(err, parley.ErrAbandoned) {
		return nil
	}
	return err
}
