package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Ready is all that a turn has to do, in this order: write Batch (and sync it
// if Batch.Sync), then carry out Actions, then settle Answers, tell Notices and
// hand out what Deliver gives. If the batch can't be written nothing else may
// happen. It holds what follows from the inputs of a turn: one of them can concern
// everything that is open with a peer, and nothing more.
type Ready struct {
	Batch    Batch
	Actions  []Action  // a few for each exchange
	Answers  []Answer  // one for each call
	Notices  []Notice  // for each turn, one or two for an input
	Deadline time.Time // when to step a Tick at the latest; zero: never
}

// Batch is what is written to the journal at once, all or nothing.
type Batch struct {
	Records  []Record  // one for each exchange and peer that changed, in blocks of blockSize
	Payloads []Payload // to store: those that came inline, for each turn
	Drop     []uint64  // payload numbers that no record names any more, two for each exchange
	Sync     bool      // something depends on it: an acknowledgement, an answer, a delivery
}

// Record is a key and its value; a nil Value deletes the key.
type Record struct{ Key, Value []byte }

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool {
	return len(b.Records) == 0 && len(b.Payloads) == 0 && len(b.Drop) == 0
}

// Action is something for the P2P protocol to do. An action never returns an
// outcome: what becomes of it comes back as an input.
type Action interface{ action() }

type (
	// Dial opens a connection to a peer: answered by Connected or DialFailed.
	Dial struct {
		Peer      Peer
		Addresses []string // to be tried before those that the allow list gives
	}
	// Send writes a frame, and its payload, on a stream; the stream is opened
	// if it is this node's and isn't yet. A failure comes back as Closed.
	Send struct {
		Conn    Conn
		Stream  Stream
		Frame   wire.Frame
		Payload Payload
	}
	// Accept reads the payload that was Offered on a stream: answered by
	// Arrived or Closed.
	Accept struct {
		Conn   Conn
		Stream Stream
	}
	// Reset ends a stream at once. Not answered.
	Reset struct {
		Conn   Conn
		Stream Stream
	}
	// Disconnect closes a connection: answered by Disconnected. Graceful ends
	// this node's streams, waits (bounded) until the peer has read all of them
	// and ended its own, then closes; otherwise it is closed at once.
	Disconnect struct {
		Conn     Conn
		Graceful bool
	}
	// Shun keeps a peer out that broke the protocol, in both directions, until a
	// moment of the wall clock, and closes all connections with it at once:
	// answered by Disconnected for each. The zero time lets it in again.
	Shun struct {
		Peer  Peer
		Until time.Time
	}
)

func (Dial) action()       {}
func (Send) action()       {}
func (Accept) action()     {}
func (Reset) action()      {}
func (Disconnect) action() {}
func (Shun) action()       {}

// Answer settles a Call.
type Answer struct {
	Call  Call
	Names []Name // Enqueue: of the requests, in their order
	At    int    // Enqueue: the request that Err is about
	Err   error
}

// Delivery is an event for the application.
type Delivery struct {
	Kind     DeliveryKind
	Name     Name
	Peer     Peer   // the other side
	Address  string // the other end's, as far as it is known
	Lane     string
	Time     time.Time // when it was stored
	Deadline time.Time // the dialer's, zero without one
	Payload  Payload   // of the request or the reply
	Reason   string    // of a rejection
	// Redelivered: given before, in this run or an earlier one.
	Redelivered bool
	// PossiblySeen: a journal was lost or set back, the application may have
	// had this request under the same name before.
	PossiblySeen bool
}

// DeliveryKind is what a Delivery tells.
type DeliveryKind uint8

const (
	RequestReceived  DeliveryKind = iota + 1 // a peer's request: answer or reject it
	RequestAbandoned                         // its dialer gave up a request that was handed out
	ReplyReceived                            // the end of an exchange made here: answered
	RequestRejected                          // … rejected by the responder
	RequestExpired                           // … its deadline passed
	RequestCancelled                         // … cancelled
)
