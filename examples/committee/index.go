package committee

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// index is the records of a state file, in the form in which they are asked for.
type index struct {
	key        *btcec.PrivateKey // of this member, for signing; not its peer identity
	made       map[question]parley.ID
	unanswered map[parley.ID]question // of those made
	applied    map[parley.ID]bool     // replies to those made
	answers    map[parley.ID]Answer   // to requests of peers
	keys       map[identity.ID]*btcec.PublicKey
	rounds     map[Round]*round
	attempts   map[int]int // of each transaction; without an entry it is the first
	signatures map[int]*schnorr.Signature
}

// question is an ask and whom it is put to.
type question struct {
	Ask
	peer identity.ID
}

// round is what a member knows of one attempt at a transaction's signature.
type round struct {
	made     bool         // this member's nonce
	secret   *secretNonce // nil once consumed
	public   publicNonce
	consumed bool
	voided   bool

	sighash   Bytes // for which the nonce was consumed
	aggregate publicNonce
	partial   *musig2.PartialSignature // this member's

	nonces   map[identity.ID]publicNonce // of the others
	partials map[identity.ID]*musig2.PartialSignature
}

func newIndex() index {
	return index{
		made: map[question]parley.ID{}, unanswered: map[parley.ID]question{}, applied: map[parley.ID]bool{},
		answers: map[parley.ID]Answer{}, keys: map[identity.ID]*btcec.PublicKey{}, rounds: map[Round]*round{},
		attempts: map[int]int{}, signatures: map[int]*schnorr.Signature{},
	}
}

// round finds a round, or begins it.
func (x *index) round(name Round) *round {
	r := x.rounds[name]
	if r == nil {
		r = &round{nonces: map[identity.ID]publicNonce{}, partials: map[identity.ID]*musig2.PartialSignature{}}
		x.rounds[name] = r
	}
	return r
}

// current is the attempt that a transaction's signature is at.
func (x *index) current(transaction int) Round {
	return Round{transaction, max(1, x.attempts[transaction])}
}

// add takes a fact in, whether it is new or read from the file.
func (x *index) add(record Record) (err error) {
	switch record.Kind {
	case SigningKeyMade:
		x.key, _ = btcec.PrivKeyFromBytes(record.Secret)
	case RequestMade:
		asked := question{record.Ask, record.Peer}
		x.made[asked] = record.Exchange
		x.unanswered[record.Exchange] = asked
	case RequestApplied:
		x.answers[record.Exchange] = record.Answer
	case ReplyApplied:
		if err = x.addReply(record); err == nil {
			x.applied[record.Exchange] = true
			delete(x.unanswered, record.Exchange)
		}
	case Signed:
		var signature *schnorr.Signature
		if signature, err = schnorr.ParseSignature(record.Signature); err == nil {
			x.signatures[record.Round.Transaction] = signature
		}
	case NonceMade, NonceConsumed, PartialSigned, RoundVoided, RoundJoined:
		err = x.addToRound(x.round(record.Round), record)
	default:
		err = fmt.Errorf("unknown kind %q", record.Kind)
	}
	return err
}

// addReply takes in what another member answered.
func (x *index) addReply(record Record) error {
	answer, name := record.Answer, record.Ask.Round
	switch {
	case record.Ask.Subject == Key:
		key, err := btcec.ParsePubKey(answer.Value)
		if err != nil {
			return err
		}
		x.keys[record.Peer] = key
	case record.Ask.Subject == Nonce:
		nonce, err := parseNonce(answer.Value)
		if err != nil {
			return err
		}
		x.round(name).nonces[record.Peer] = nonce
	case answer.Void:
		x.advance(name.Transaction, name.Attempt+1)
	default:
		partial, err := parsePartial(answer.Value)
		if err != nil {
			return err
		}
		x.round(name).partials[record.Peer] = partial
	}
	return nil
}

// addToRound takes in what this member did in a round.
func (x *index) addToRound(r *round, record Record) (err error) {
	switch record.Kind {
	case NonceMade:
		if len(record.Secret) != musig2.SecNonceSize {
			return errors.New("secret nonce of a wrong size")
		}
		r.secret = (*secretNonce)(bytes.Clone(record.Secret))
		r.public, err = parseNonce(record.PublicNonce)
		r.made = true
	case NonceConsumed:
		if r.secret == nil {
			return fmt.Errorf("nonce of %s is consumed without being there", record.Round)
		}
		clear(r.secret[:])
		r.secret, r.consumed, r.sighash = nil, true, record.Sighash
		r.aggregate, err = parseNonce(record.AggregateNonce)
	case PartialSigned:
		r.partial, err = parsePartial(record.Partial)
		if err == nil {
			r.partial.R, err = btcec.ParsePubKey(record.NoncePoint)
		}
	case RoundVoided:
		r.voided = true
		x.advance(record.Round.Transaction, record.Round.Attempt+1)
	case RoundJoined:
		x.advance(record.Round.Transaction, record.Round.Attempt)
	}
	return err
}

func (x *index) advance(transaction, attempt int) {
	x.attempts[transaction] = max(attempt, x.attempts[transaction])
}

func parseNonce(value Bytes) (nonce publicNonce, err error) {
	if len(value) != musig2.PubNonceSize {
		return nonce, fmt.Errorf("public nonce has %d bytes: want %d", len(value), musig2.PubNonceSize)
	}
	for _, point := range [][]byte{value[:33], value[33:]} {
		if _, err := btcec.ParsePubKey(point); err != nil {
			return nonce, fmt.Errorf("public nonce: %w", err)
		}
	}
	return publicNonce(value), nil
}

func parsePartial(value Bytes) (*musig2.PartialSignature, error) {
	if len(value) != 32 {
		return nil, fmt.Errorf("partial signature has %d bytes: want 32", len(value))
	}
	var partial musig2.PartialSignature
	if err := partial.Decode(bytes.NewReader(value)); err != nil {
		return nil, fmt.Errorf("partial signature: %w", err)
	}
	return &partial, nil
}
