package committee

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/parley-p2p/parley/identity"
)

// Committee is what the members agree on before they begin, the same for all.
type Committee struct {
	Members      []identity.ID `json:"members"`      // their addresses are in the allow list
	Transactions int           `json:"transactions"` // to be signed
	Programs     int           `json:"programs"`     // the transactions are spread over, each a chain of its own
	Seed         uint64        `json:"seed"`         // of the outputs with which the chains begin
	MessageSize  int           `json:"message_size"` // bytes to which messages are padded
}

// Check refuses a committee that can't sign.
func (c *Committee) Check() error {
	if len(c.Members) < 2 || c.Programs < 1 || c.Transactions < 1 {
		return errors.New("a committee needs at least 2 members, 1 program and 1 transaction")
	}
	return nil
}

// Round is one attempt at a transaction's signature. Each has nonces of its own;
// a further attempt is made only when a member lost its nonce to a crash.
type Round struct {
	Transaction int `json:"transaction"` // from 0
	Attempt     int `json:"attempt"`     // from 1; 0 where no round is concerned
}

func (r Round) String() string { return fmt.Sprintf("tx-%d/attempt-%d", r.Transaction, r.Attempt) }

// program is the one that a transaction belongs to.
func (c *Committee) program(transaction int) int { return transaction % c.Programs }

// Exchanges is how many each member begins, and how many it answers, when no
// round is repeated.
func (c *Committee) Exchanges() int { return (len(c.Members) - 1) * (1 + 2*c.Transactions) }

// Bytes is written as hexadecimal text, so that messages and state can be read.
type Bytes []byte

// MarshalText and UnmarshalText write and read the hexadecimal text.
func (b Bytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}
