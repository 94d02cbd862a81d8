package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Peer is a node's peer ID: its raw bytes, in a string so that it can be a key.
type Peer string

// Role is the part that this node plays in an exchange.
type Role uint8

const (
	Dialer    Role = iota + 1 // made the request
	Responder                 // answers it
)

// ID names an exchange among those of this node: the other side, the part this
// node plays, and the dialer's numbering. It changes when the dialer's epoch is
// renewed; a Name never does.
type ID struct {
	Peer  Peer // the other side
	Role  Role // this node's
	Epoch uint64
	Seq   uint64
}

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
	Inline []byte
}

// Outgoing is a request as the application makes it.
type Outgoing struct {
	Peer      Peer
	Addresses []string // where to dial; empty: what the allow list says
	Tag       wire.Tag // 16 random bytes
	Lane      string
	Deadline  time.Time // zero: none
	Key       string    // idempotency key; empty: none
	Payload   Payload
}
