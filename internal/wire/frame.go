// Package wire holds the frames of the protocol /parley/exchange/1: their
// fields, their bytes and their limits.
//
// A frame on a stream is
//
//	uvarint header length | header (protobuf) | payload
//
// where the payload is as many raw bytes as [Frame.PayloadSize] says: HELLO,
// REQUEST and REPLY carry one, no other frame does. docs/protocol.md is the
// protocol, byte for byte.
package wire

import "time"

// Kind is the type of a frame.
type Kind uint8

const (
	Hello    Kind = iota + 1 // dialer: what it has given and not ended; opens every connection
	Welcome                  // responder: the answer to a HELLO
	Request                  // dialer: a request and its payload
	Resume                   // dialer: a request that was sent before, or is large, without its payload
	Continue                 // responder: to a RESUME that it doesn't know; room is reserved, send it
	Ack                      // receiver: stored durably
	Nack                     // receiver: not now, nothing is stored, try later
	Reject                   // receiver: never
	Reply                    // responder: the reply and its payload
	Cancel                   // dialer: the exchange is over, whatever became of it
)

// Of says which leg of an exchange an ACK, NACK or REJECT is about.
type Of uint8

const (
	OfRequest Of = iota + 1 // the request; also a HELLO that is refused
	OfReply                 // the reply; in an ACK also the rejection in its place
	OfCancel                // the CANCEL
)

// Refusal is the reason of a REJECT.
type Refusal uint8

const (
	Ended    Refusal = iota + 1 // the exchange is over here
	Mismatch                    // another tag, hash or lane was known under this sequence
	Fenced                      // the epoch is too old; Frame.Known names the newest one
	Policy                      // the application or the operator refuses; Frame.Text says why
	TooLarge                    // larger than this side takes; Frame.Known is its limit in bytes
)

// Delay is the reason of a NACK.
type Delay uint8

const (
	NoRoom   Delay = iota + 1 // too many open exchanges or stored bytes
	TooFast                   // a rate limit
	NotReady                  // the node is starting, stopping or has trouble with its journal
)

// Limits of the protocol. A frame beyond one of them is a protocol violation.
const (
	// MaxHeader bounds an encoded header, in bytes.
	MaxHeader = 4 << 10
	// MaxLane bounds the name of a lane, in bytes.
	MaxLane = 128
	// MaxText bounds the text of a REJECT, in bytes.
	MaxText = 1 << 10
	// MaxHello bounds the payload of a HELLO, in bytes.
	MaxHello = 256 << 10
	// MaxOpen bounds the sequences given and not ended, of one pair of nodes in one
	// direction.
	MaxOpen = 1 << 16
	// MaxInline bounds a payload that may be sent without being asked for, in bytes:
	// a larger request goes as RESUME first.
	MaxInline = 64 << 10
)

// Tag names an exchange, together with its dialer: 16 random bytes made with
// the request.
type Tag [16]byte

// Hash is a SHA-256.
type Hash [32]byte

// Frame is one frame without its payload. Which fields a kind uses is written
// at the field; the others are zero and are not encoded.
type Frame struct {
	Kind         Kind
	Epoch        uint64        // all: the dialer's numbering era, 63 bits
	Seq          uint64        // all but HELLO, WELCOME: the exchange's number in the epoch, from 1
	Tag          Tag           // REQUEST, RESUME, REPLY, CANCEL; REJECT POLICY, TOO_LARGE and any of a reply
	Lane         string        // REQUEST, RESUME
	Hash         Hash          // SHA-256 of the payload (REQUEST, RESUME, REPLY, HELLO), of a REJECT's text, or of what an ACK is for
	Size         uint64        // bytes of the payload (REQUEST, RESUME, REPLY, HELLO)
	Next         uint64        // HELLO: the next sequence to be given. WELCOME: the greatest seen
	Low          uint64        // REQUEST, RESUME: every smaller sequence is ended
	LargestReply uint64        // REQUEST, RESUME: the largest reply taken, in bytes
	Remaining    time.Duration // REQUEST, RESUME: until the deadline, in milliseconds; 0 without one
	PossiblySeen bool          // REQUEST, RESUME: the responder's application may have had it before
	Of           Of            // ACK, NACK, REJECT
	Delivered    bool          // ACK of request: the application has taken it
	RetryAfter   time.Duration // NACK: in milliseconds
	Delay        Delay         // NACK
	Refusal      Refusal       // REJECT
	Known        uint64        // REJECT FENCED: the newest epoch known. REJECT TOO_LARGE: the limit
	Text         string        // REJECT POLICY, TOO_LARGE: why, UTF-8
}

// PayloadSize is the number of payload bytes that follow the header.
func (f *Frame) PayloadSize() uint64 {
	switch f.Kind {
	case Hello, Request, Reply:
		return f.Size
	}
	return 0
}
