package committee

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// Record is one fact in a member's state file. Which fields are set follows
// from its kind.
type Record struct {
	Kind Kind  `json:"kind"`
	Time int64 `json:"time"` // microseconds since 1970

	// Of an exchange.
	Exchange parley.ID   `json:"exchange,omitzero"`
	Peer     identity.ID `json:"peer,omitzero"` // the other side
	Ask      Ask         `json:"ask,omitzero"`
	Answer   Answer      `json:"answer,omitzero"`

	// Of this member's own part in a round.
	Round          Round `json:"round,omitzero"`
	Secret         Bytes `json:"secret,omitempty"` // the signing key, or a secret nonce
	PublicNonce    Bytes `json:"public_nonce,omitempty"`
	AggregateNonce Bytes `json:"aggregate_nonce,omitempty"`
	Sighash        Bytes `json:"sighash,omitempty"`
	Partial        Bytes `json:"partial,omitempty"`
	NoncePoint     Bytes `json:"nonce_point,omitempty"` // R, to which all signers came
	Signature      Bytes `json:"signature,omitempty"`   // BIP-340
}

// Kind is what a Record tells.
type Kind string

const (
	SigningKeyMade Kind = "signing key made"
	RequestMade    Kind = "request made"    // Exchange, Peer, Ask; Time is just before it was made
	RequestApplied Kind = "request applied" // a peer's: the effect, with the Answer to it
	ReplyApplied   Kind = "reply applied"   // to a request made: the effect is knowing its Answer
	NonceMade      Kind = "nonce made"
	NonceConsumed  Kind = "nonce consumed" // for good, whether or not a partial signature follows
	PartialSigned  Kind = "partial signed"
	RoundVoided    Kind = "round voided" // the nonce was consumed and nothing came of it
	RoundJoined    Kind = "round joined" // a peer goes on to it: an earlier one is void
	Signed         Kind = "signed"
)

// ErrDamaged is a state file that was changed after it had been synced. A member
// must not go on with it: whether its nonces were used can't be known.
var ErrDamaged = errors.New("state file is damaged: don't sign with it; start the member anew with new keys")

// A batch is one line: CRC-32C of the rest in eight hexadecimal digits, a
// space, the records as a JSON array, a newline.
const checksumSize = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeBatch(records []Record) ([]byte, error) {
	text, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("encoding the state: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

func decodeBatch(line []byte) (records []Record, err error) {
	if len(line) <= checksumSize || line[checksumSize] != ' ' {
		return nil, errors.New("no checksum")
	}
	sum, err := strconv.ParseUint(string(line[:checksumSize]), 16, 32)
	text := line[checksumSize+1:]
	if err != nil || crc32.Checksum(text, castagnoli) != uint32(sum) {
		return nil, errors.New("wrong checksum")
	}
	return records, json.Unmarshal(text, &records)
}

// decodeState reads the records of a state file and how many bytes they take.
// Each batch was synced before the next was written, so that a crash can leave
// only the last one torn; it is left out. Anything else is ErrDamaged.
func decodeState(content []byte) (records []Record, size int64, err error) {
	for number := 1; len(content) > 0; number++ {
		line, rest, whole := bytes.Cut(content, []byte("\n"))
		batch, err := decodeBatch(line)
		if err != nil || !whole {
			if len(rest) > 0 {
				return nil, 0, fmt.Errorf("%w (line %d: %w)", ErrDamaged, number, err)
			}
			return records, size, nil
		}
		records = append(records, batch...)
		size += int64(len(line) + 1)
		content = rest
	}
	return records, size, nil
}

// ReadRecords reads a member's state file, for an auditor. The member may not be
// running.
func ReadRecords(path string) ([]Record, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	records, _, err := decodeState(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return records, nil
}
