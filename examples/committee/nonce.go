package committee

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
)

// A secret nonce that signs twice gives the private key away (BIP-327, "Nonce
// generation"). All that this file does is to make that impossible, whenever
// the process dies:
//
//	made ──sync──▶ public nonce leaves ──▶ consumed ──sync──▶ sign ──▶ partial ──sync──▶ partial leaves
//
// A crash before the second sync leaves the nonce unused: it may be used. A
// crash after it and before the third leaves a nonce that is consumed and of
// which nobody knows whether it signed: it is gone, its round is void, and all
// members make fresh nonces for another attempt.

// maxAttempts bounds how often a transaction's signature is begun anew.
const maxAttempts = 1000

// makeNonces draws this member's nonces of the given rounds. They may leave
// after the next Sync.
func (s *State) makeNonces(signers *signers, rounds []Round) error {
	for _, name := range rounds {
		nonces, err := signers.makeNonce(s.key, name.Transaction)
		if err != nil {
			return fmt.Errorf("making a nonce: %w", err)
		}
		err = s.append(Record{
			Kind: NonceMade, Round: name,
			Secret: nonces.SecNonce[:], PublicNonce: nonces.PubNonce[:],
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// use is what a nonce is taken for.
type use struct {
	Round
	sighash   [32]byte
	aggregate publicNonce
}

// takeNonces hands out secret nonces, after it has made durable that they are
// consumed. There is no other way to them, and none to have one twice.
func (s *State) takeNonces(uses []use) ([]secretNonce, error) {
	taken := make([]secretNonce, len(uses))
	for i, use := range uses {
		r := s.round(use.Round)
		if r.secret == nil {
			return nil, fmt.Errorf("%s: %w", use.Round, errNonceGone)
		}
		taken[i] = *r.secret
		err := s.append(Record{
			Kind: NonceConsumed, Round: use.Round,
			Sighash: use.sighash[:], AggregateNonce: use.aggregate[:],
		})
		if err != nil {
			return nil, err
		}
	}
	if err := s.Sync(); err != nil {
		return nil, err
	}
	return taken, nil
}

var errNonceGone = errors.New("the nonce was never made or is consumed")

// notePartial keeps what a nonce was consumed for. It may leave after the next
// Sync.
func (s *State) notePartial(name Round, partial *musig2.PartialSignature) error {
	value := partial.S.Bytes()
	return s.append(Record{
		Kind: PartialSigned, Round: name,
		Partial: value[:], NoncePoint: partial.R.SerializeCompressed(),
	})
}

// voidLostRounds gives up, at a start, the rounds whose nonces the last run
// consumed without keeping a partial signature.
func (s *State) voidLostRounds() error {
	for name, r := range s.rounds {
		if r.consumed && r.partial == nil && !r.voided {
			if err := s.append(Record{Kind: RoundVoided, Round: name}); err != nil {
				return err
			}
		}
	}
	return nil
}
