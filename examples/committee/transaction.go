package committee

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const (
	fundedAmount = 1_000_000 // satoshi, in the output with which a chain begins
	fee          = 300       // satoshi, of each transaction
)

// transaction is one that the committee signs, with the output that it spends.
type transaction struct {
	*wire.MsgTx
	spent   *wire.TxOut
	sighash [32]byte // BIP-341, key path, SIGHASH_DEFAULT
}

// transactions builds all that are to be signed. Those of a program are a chain
// that is signed before any of it is published, as operators of such protocols
// do it: the first spends the program's funding output, which here follows from
// the seed, and each of the others its predecessor's. All outputs are P2TR and
// pay to the committee's key.
func (c *Committee) transactions(key *btcec.PublicKey) ([]transaction, error) {
	script, err := txscript.PayToTaprootScript(key)
	if err != nil {
		return nil, fmt.Errorf("committee's output script: %w", err)
	}
	all := make([]transaction, c.Transactions)
	for n := range all {
		outpoint, amount := c.funding(n), int64(fundedAmount)
		if n >= c.Programs {
			before := all[n-c.Programs]
			outpoint, amount = wire.OutPoint{Hash: before.TxHash()}, before.TxOut[0].Value
		}
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(&outpoint, nil, nil))
		tx.AddTxOut(wire.NewTxOut(max(amount-fee, 330), script)) // 330: less is dust
		all[n] = transaction{MsgTx: tx, spent: wire.NewTxOut(amount, script)}
		if all[n].sighash, err = keySpendSighash(tx, all[n].spent); err != nil {
			return nil, fmt.Errorf("transaction %d: %w", n, err)
		}
	}
	return all, nil
}

// funding is the output that a program's first transaction spends.
func (c *Committee) funding(program int) wire.OutPoint {
	var seed [16]byte
	binary.BigEndian.PutUint64(seed[:8], c.Seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(program))
	return wire.OutPoint{Hash: chainhash.Hash(sha256.Sum256(seed[:]))}
}

func keySpendSighash(tx *wire.MsgTx, spent *wire.TxOut) (sighash [32]byte, err error) {
	outputs := txscript.NewCannedPrevOutputFetcher(spent.PkScript, spent.Value)
	hash, err := txscript.CalcTaprootSignatureHash(txscript.NewTxSigHashes(tx, outputs), txscript.SigHashDefault, tx, 0, outputs)
	copy(sighash[:], hash)
	return sighash, err
}
