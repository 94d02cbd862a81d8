package parley

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/parley-p2p/parley/identity"
)

// ID names an exchange, the same on both sides and for ever: its dialer and the
// 16 random bytes that the dialer made with the request. It is comparable; its
// text is "PEER/32 hex digits".
type ID struct {
	Dialer identity.ID
	Tag    [16]byte
}

// String is the text that ParseID reads.
func (id ID) String() string { return id.Dialer.String() + "/" + hex.EncodeToString(id.Tag[:]) }

// ParseID reads the text of an ID.
func ParseID(text string) (ID, error) {
	dialer, tag, found := strings.Cut(text, "/")
	if !found {
		return ID{}, fmt.Errorf("exchange ID %q: want PEER/32 hex digits", text)
	}
	var id ID
	var err error
	if id.Dialer, err = identity.ParseID(dialer); err != nil {
		return ID{}, fmt.Errorf("exchange ID %q: %w", text, err)
	}
	if n, err := hex.Decode(id.Tag[:], []byte(tag[:min(len(tag), 32)])); err != nil || n != 16 || len(tag) != 32 {
		return ID{}, fmt.Errorf("exchange ID %q: want 32 hex digits after the slash", text)
	}
	return id, nil
}

// MarshalText and UnmarshalText write and read an ID as its text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Message is a request to be made.
type Message struct {
	Peer identity.ID
	// Address is where to dial: a multiaddr or host:port; empty: what the allow
	// list says.
	Address string
	// Lane orders requests: those of one lane to one peer are exchanged one
	// after the other, those of different lanes side by side. At most 128 bytes.
	Lane string
	// Deadline, on the wall clock, ends the exchange as expired; zero: never.
	Deadline time.Time
	// Key makes the request idempotent: the same key gives the same exchange,
	// for as long as its history is kept. At most 128 bytes.
	Key  string
	Body []byte
}

// Event is what CheckReceive, Receive and Events tell the application.
type Event struct {
	Kind    Kind
	ID      ID          // the exchange; zero where none is concerned
	Peer    identity.ID // the other side; zero where it isn't known
	Address string      // the other end's, as far as it is known
	Lane    string
	Time    time.Time // when it happened; of a request or reply, when it was stored
	// Deadline is the dialer's, zero without one. (RequestReceived)
	Deadline time.Time
	// Redelivered: the application has, or may have, been given this before.
	Redelivered bool
	// PossiblySeen: a journal was lost or set back, so that this request may
	// have been given, even answered, before, under the same ID.
	PossiblySeen bool
	Body         []byte // of the request or reply
	// Err is why an exchange failed (ErrRejected as *RejectedError, ErrExpired,
	// ErrCancelled, ErrAbandoned), or what a priority event is about.
	Err   error
	Count int // of a priority event: how many were put together, at least 1
	// Until is when a peer that broke the protocol is let in again.
	// (ProtocolViolation)
	Until time.Time
}

// Kind is what an Event tells.
type Kind uint8

// Of exchanges.
const (
	RequestReceived  Kind = iota + 1 // a peer's request: answer it with Reply or Response, or Reject it
	RequestAbandoned                 // its dialer gave up a request that you were given
	ReplyReceived                    // the reply to a request of yours
	ExchangeFailed                   // a request of yours was rejected, has expired or was cancelled: see Err
)

// Of priority: what an operator acts on.
const (
	MessageDropped     Kind = iota + 32 // a frame came that could not be taken
	ConnectionLimitHit                  // of a peer, an IP or in total
	ProtocolViolation                   // a peer broke the protocol, Err says which rule; it was disconnected, and is kept out Until
	StrangerRefused                     // a peer that isn't on the allow list
	IdentityMismatch                    // an address proved another key than its peer's
	PeerSuspended                       // off the allow list while exchanges are open: they wait
	PeerHalted                          // ErrFenced, ErrRolledBack, ErrMismatch or ErrContradicts: see Err, and Renew
	PeerDiffers                         // the peer means another exchange by a number that is known here: its journal was set back, nothing is changed
	PeerLostJournal                     // the peer denies what it had acknowledged; the request goes again
	JournalTrouble                      // nothing more is accepted: ErrDiskFull until there is room, or ErrJournal for good
	PeerLimited                         // a peer reached a limit, Err says which, and is told to come back later; not told again until it has kept below for a minute
	AllowListTrouble                    // the allow list's file can't be read, Err is an *allowlist.FileError: the list stays as it was
)

var kindNames = map[Kind]string{
	RequestReceived: "request received", RequestAbandoned: "request abandoned", ReplyReceived: "reply received", ExchangeFailed: "exchange failed",
	MessageDropped: "message dropped", ConnectionLimitHit: "connection limit hit", ProtocolViolation: "protocol violation",
	StrangerRefused: "stranger refused", IdentityMismatch: "identity mismatch", PeerSuspended: "peer suspended",
	PeerHalted: "peer halted", PeerDiffers: "peer differs", PeerLostJournal: "peer lost its journal", JournalTrouble: "journal trouble",
	PeerLimited: "peer limited", AllowListTrouble: "allow list trouble",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Priority reports whether the event is for an operator: about a peer or the
// node, not the course of an exchange.
func (k Kind) Priority() bool { return k >= MessageDropped }
