package committee

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
)

// Tick does all that can be done with what is known. Each step follows from the
// durable state alone, so that after a crash the same is done again or goes on.
func (m *Member) Tick() error {
	m.behind = false
	for _, step := range []func() error{m.aggregateKeys, m.join, m.prepareNonces, m.sign, m.combine, m.answer, m.ask} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// aggregateKeys makes the committee's key and its transactions, once all
// members' keys are known.
func (m *Member) aggregateKeys() (err error) {
	if m.signers != nil || len(m.state.keys) < len(m.committee.Members)-1 {
		return nil
	}
	keys := []*btcec.PublicKey{m.state.key.PubKey()}
	for _, peer := range m.committee.Members {
		if peer != m.self {
			keys = append(keys, m.state.keys[peer])
		}
	}
	m.signers, err = newSigners(&m.committee, keys)
	return err
}

// join goes on to a further attempt that a peer has begun: the present one is
// void, though the member that lost its nonce hasn't said so here yet.
func (m *Member) join() error {
	for id, req := range m.open {
		if req.Subject == Key {
			continue
		}
		current := m.state.current(req.Transaction)
		switch signed := m.state.signatures[req.Transaction] != nil; {
		case req.Attempt <= current.Attempt:
		case req.Attempt > current.Attempt+1 || signed:
			if err := m.reject(id, fmt.Sprintf("%s can't be begun: the member is at %s", req.Round, current)); err != nil {
				return err
			}
		default:
			if err := m.state.append(Record{Kind: RoundJoined, Round: req.Round}); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareNonces makes this member's nonces of the present rounds.
func (m *Member) prepareNonces() error {
	if m.signers == nil {
		return nil
	}
	var missing []Round
	for n := range m.committee.Transactions {
		if current := m.state.current(n); !m.state.round(current).made {
			missing = append(missing, current)
		}
	}
	return m.state.makeNonces(m.signers, missing)
}

// sign makes this member's partial signatures of the rounds whose nonces are
// all known.
func (m *Member) sign() error {
	var uses []use
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		r := m.state.round(current)
		if r.secret == nil || len(r.nonces) < len(m.committee.Members)-1 {
			continue
		}
		nonces := []publicNonce{r.public}
		for _, nonce := range r.nonces {
			nonces = append(nonces, nonce)
		}
		aggregate, err := musig2.AggregateNonces(nonces)
		if err != nil {
			return fmt.Errorf("%s: aggregating the nonces: %w", current, err)
		}
		uses = append(uses, use{current, m.signers.transactions[n].sighash, aggregate})
	}
	secrets, err := m.state.takeNonces(uses)
	if err != nil {
		return err
	}
	for i, use := range uses {
		partial, err := m.signers.sign(m.state.key, secrets[i], use.aggregate, use.Transaction)
		clear(secrets[i][:])
		if err != nil {
			return fmt.Errorf("%s: signing: %w", use.Round, err)
		}
		if err := m.state.notePartial(use.Round, partial); err != nil {
			return err
		}
	}
	return nil
}

// combine makes the signatures of which all parts are there.
func (m *Member) combine() error {
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		r := m.state.round(current)
		if m.state.signatures[n] != nil || r.partial == nil || len(r.partials) < len(m.committee.Members)-1 {
			continue
		}
		partials := []*musig2.PartialSignature{r.partial}
		for _, partial := range r.partials {
			partials = append(partials, partial)
		}
		signature, err := m.signers.combine(r.partial.R, partials, n)
		if err != nil {
			return err
		}
		if err := m.state.append(Record{Kind: Signed, Round: current, Signature: signature.Serialize()}); err != nil {
			return err
		}
	}
	return nil
}
