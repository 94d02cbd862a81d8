package committee

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
)

type (
	publicNonce = [musig2.PubNonceSize]byte
	secretNonce = [musig2.SecNonceSize]byte
)

// signers is the committee as BIP-327 sees it: complete once all keys are known.
type signers struct {
	keys         []*btcec.PublicKey // of all members; musig2 sorts them
	key          *btcec.PublicKey   // aggregated, and tweaked for a key-path spend alone (BIP-86)
	transactions []transaction
}

func newSigners(c *Committee, keys []*btcec.PublicKey) (*signers, error) {
	aggregate, _, _, err := musig2.AggregateKeys(keys, true, musig2.WithBIP86KeyTweak())
	if err != nil {
		return nil, fmt.Errorf("aggregating the committee's keys: %w", err)
	}
	transactions, err := c.transactions(aggregate.FinalKey)
	if err != nil {
		return nil, err
	}
	return &signers{keys: keys, key: aggregate.FinalKey, transactions: transactions}, nil
}

// makeNonce draws a fresh nonce for one member and one transaction.
func (s *signers) makeNonce(key *btcec.PrivateKey, transaction int) (*musig2.Nonces, error) {
	return musig2.GenNonces(
		musig2.WithPublicKey(key.PubKey()),
		musig2.WithNonceSecretKeyAux(key),
		musig2.WithNonceCombinedKeyAux(s.key),
		musig2.WithNonceMessageAux(s.transactions[transaction].sighash),
	)
}

// sign makes a member's partial signature. The nonce must have been consumed.
func (s *signers) sign(key *btcec.PrivateKey, nonce secretNonce, aggregate publicNonce, transaction int) (*musig2.PartialSignature, error) {
	return musig2.Sign(nonce, key, aggregate, s.keys, s.transactions[transaction].sighash,
		musig2.WithSortedKeys(), musig2.WithBip86SignTweak())
}

// verifyPartial tells whose contribution is wrong, before it spoils the whole.
func (s *signers) verifyPartial(partial *musig2.PartialSignature, key *btcec.PublicKey, nonce, aggregate publicNonce, transaction int) bool {
	return partial.Verify(nonce, aggregate, s.keys, key, s.transactions[transaction].sighash,
		musig2.WithSortedKeys(), musig2.WithBip86SignTweak())
}

// combine makes the signature out of all partial ones and verifies it. point is
// the nonce point R that each signer came to.
func (s *signers) combine(point *btcec.PublicKey, partials []*musig2.PartialSignature, transaction int) (*schnorr.Signature, error) {
	signature := musig2.CombineSigs(point, partials,
		musig2.WithBip86TweakedCombine(s.transactions[transaction].sighash, s.keys, true))
	if !s.verify(signature, transaction) {
		return nil, fmt.Errorf("transaction %d: the aggregated signature is not valid", transaction)
	}
	return signature, nil
}

// verify is BIP-340's, against the key of the output that is spent.
func (s *signers) verify(signature *schnorr.Signature, transaction int) bool {
	return signature.Verify(s.transactions[transaction].sighash[:], s.key)
}
