package wire

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is the protobuf number of a header field. Numbers up to 15 take one
// byte with their type: all that a REQUEST, ACK or REPLY carries is there.
// proto/parley/wire/v1/frame.proto is the same list as a schema.
type field = protowire.Number

const (
	kindField field = iota + 1
	epochField
	seqField
	tagField
	laneField
	hashField
	sizeField
	nextField
	lowField
	largestReplyField
	remainingField
	possiblySeenField
	ofField
	deliveredField
	retryAfterField
	delayField
	refusalField
	knownField
	textField
)

var fieldNames = [...]string{
	kindField:         "kind",
	epochField:        "epoch",
	seqField:          "seq",
	tagField:          "tag",
	laneField:         "lane",
	hashField:         "hash",
	sizeField:         "size",
	nextField:         "next",
	lowField:          "low",
	largestReplyField: "largest_reply",
	remainingField:    "remaining_ms",
	possiblySeenField: "possibly_seen",
	ofField:           "of",
	deliveredField:    "delivered",
	retryAfterField:   "retry_after_ms",
	delayField:        "delay",
	refusalField:      "refusal",
	knownField:        "known",
	textField:         "text",
}

// wireType is the only protobuf type under which a known field is taken.
func wireType(n field) protowire.Type {
	switch n {
	case tagField, laneField, hashField, textField:
		return protowire.BytesType
	}
	return protowire.VarintType
}

// number is the value of a varint field as it is encoded; 0 isn't encoded.
func (f *Frame) number(n field) uint64 {
	switch n {
	case kindField:
		return uint64(f.Kind)
	case epochField:
		return f.Epoch
	case seqField:
		return f.Seq
	case sizeField:
		return f.Size
	case nextField:
		return f.Next
	case lowField:
		return f.Low
	case largestReplyField:
		return f.LargestReply
	case remainingField:
		return milliseconds(f.Remaining)
	case possiblySeenField:
		return bit(f.PossiblySeen)
	case ofField:
		return uint64(f.Of)
	case deliveredField:
		return bit(f.Delivered)
	case retryAfterField:
		return milliseconds(f.RetryAfter)
	case delayField:
		return uint64(f.Delay)
	case refusalField:
		return uint64(f.Refusal)
	case knownField:
		return f.Known
	}
	return 0
}

// setNumber sets a varint field. The caller has refused what doesn't fit.
func (f *Frame) setNumber(n field, v uint64) {
	switch n {
	case kindField:
		f.Kind = Kind(v)
	case epochField:
		f.Epoch = v
	case seqField:
		f.Seq = v
	case sizeField:
		f.Size = v
	case nextField:
		f.Next = v
	case lowField:
		f.Low = v
	case largestReplyField:
		f.LargestReply = v
	case remainingField:
		f.Remaining = time.Duration(v) * time.Millisecond
	case possiblySeenField:
		f.PossiblySeen = v != 0
	case ofField:
		f.Of = Of(v)
	case deliveredField:
		f.Delivered = v != 0
	case retryAfterField:
		f.RetryAfter = time.Duration(v) * time.Millisecond
	case delayField:
		f.Delay = Delay(v)
	case refusalField:
		f.Refusal = Refusal(v)
	case knownField:
		f.Known = v
	}
}

// largest is the greatest number that a varint field holds: a duration must
// fit the receiver's clock, a reason its byte, everything else 63 bits.
func largest(n field) uint64 {
	switch n {
	case kindField, ofField, delayField, refusalField:
		return math.MaxUint8
	case remainingField, retryAfterField:
		return uint64(math.MaxInt64 / time.Millisecond)
	}
	return math.MaxInt64
}

// milliseconds rounds up: a deadline that is almost here must not become 0,
// which means none.
func milliseconds(d time.Duration) uint64 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return uint64(ms)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
