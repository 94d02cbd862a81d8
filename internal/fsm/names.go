package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Limits of the protocol that a caller keeps to, in bytes.
const (
	MaxInline = wire.MaxInline // bounds a payload that is handed in inline, in bytes
	MaxLane   = wire.MaxLane   // bounds a lane, in bytes
	MaxReason = wire.MaxText   // bounds a rejection's reason, in bytes
)

// Peer is a node's peer ID: its raw bytes, in a string so that it can be a key.
type Peer string

// Name is the public name of an exchange, the same on both sides and for ever.
type Name struct {
	Dialer Peer
	Tag    wire.Tag
}

// Conn is a connection, numbered by the P2P protocol from 1.
type Conn uint64

// Stream is a stream of a connection. Streams opened by this node are numbered
// by the machine and are even; those opened by the peer are numbered by the P2P
// protocol and are odd. No number is used twice while the process runs.
type Stream uint64

// Call is an application's call that waits for its answer; 0 is one that doesn't.
type Call uint64

// Payload is a request's or reply's bytes by reference. The machine never looks
// at the bytes, and never copies or hashes them.
type Payload struct {
	Hash   wire.Hash
	Size   int64  // bytes
	Number uint64 // under which the journal keeps it; 0 for an empty payload
	// Inline is set on the way in, for a payload that isn't in the journal yet
	// and is written with the records that name it: at most wire.MaxInline bytes.
	// The payload of a HELLO is only ever inline, both ways.
	Inline []byte
}

// Outgoing is a request as the application makes it.
type Outgoing struct {
	Peer      Peer
	Addresses []string // where to dial, before what the allow list says
	Tag       wire.Tag // 16 random bytes
	Lane      string
	Deadline  time.Time // zero: none
	Key       string    // idempotency key; empty: none
	Payload   Payload
	// Dialable: an address is given or listed. Without one a request is only
	// taken while the peer is connected.
	Dialable bool
	// Waited: a call waits for the outcome, which goes to it alone.
	Waited bool
}
