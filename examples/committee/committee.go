package committee

import (
	"encoding/hex"
	"fmt"

	"github.com/parley-p2p/parley/identity"
)

// Committee is what the members agree on before they begin, the same for all.
type Committee struct {
	Seats        []Seat `json:"seats"`
	Transactions int    `json:"transactions"` // to be signed
	Programs     int    `json:"programs"`     // the transactions are spread over, each a chain of its own
	Seed         uint64 `json:"seed"`         // of the outputs with which the chains begin
	MessageSize  int    `json:"message_size"` // bytes to which messages are padded
}

// Seat is a member's place: its peer ID and where it is dialled.
type Seat struct {
	ID      identity.ID `json:"id"`
	Address string      `json:"address"`
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

// expected is how many exchanges a member begins when no round is repeated.
func (c *Committee) expected() int { return (len(c.Seats) - 1) * (1 + 2*c.Transactions) }

// Bytes is written as hexadecimal text, so that messages and state can be read.
type Bytes []byte

// MarshalText and UnmarshalText write and read the hexadecimal text.
func (b Bytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}
