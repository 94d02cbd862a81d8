package fsm

import (
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Input is one thing that happened: a command of the application, an event of
// the P2P protocol, or the passing of time.
type Input interface{ input() }

// What the application says, through the mediator's sender channel.
type (
	// Enqueue makes requests: all or none. Answered with their names.
	Enqueue struct {
		Call     Call
		Requests []Outgoing
	}
	// Respond answers a request that the application was given: the one named
	// or, when Name is zero, the only one handed out of that peer.
	Respond struct {
		Call    Call
		Name    Name
		Peer    Peer
		Payload Payload
	}
	// Refuse rejects a request, for good, with a reason for its dialer.
	Refuse struct {
		Call   Call
		Name   Name
		Reason string
	}
	// Cancel ends an exchange that this node made.
	Cancel struct {
		Call Call
		Name Name
	}
	// Taken says that the application has a delivery in hand.
	Taken struct{ Name Name }
	// Commit says that the application is done with a reply or failure: it
	// isn't told again.
	Commit struct {
		Call Call
		Name Name
	}
	// Hangup closes all connections with a peer; what is open resumes later.
	Hangup struct{ Peer Peer }
	// Renew starts a new epoch towards a peer: the operator's way out of a halt.
	Renew struct {
		Call Call
		Peer Peer
	}
	// Pardon lets a peer in that was kept out for breaking the protocol: the
	// operator's word.
	Pardon struct {
		Call Call
		Peer Peer
	}
	// Forget drops a reply that its dialer never fetched: the operator's word.
	Forget struct {
		Call Call
		Name Name
	}
)

// What the allow list says.
type (
	// Listed admits a peer; what was suspended goes on. For one that is admitted
	// already, its limits or its addresses have changed.
	Listed struct {
		Call   Call
		Peer   Peer
		Limits Limits
	}
	// Unlisted shuts a peer out; what is open with it is suspended.
	Unlisted struct {
		Call Call
		Peer Peer
	}
	// Everyone admits every peer.
	Everyone struct{}
)

// What the P2P protocol reports, through its receiver channel.
type (
	// Connected is a new connection whose peer has proved its key.
	Connected struct {
		Conn    Conn
		Peer    Peer
		Dialed  bool   // by this node
		Address string // the other end's
	}
	// Disconnected is the end of a connection. Every stream of it is gone, those
	// that had no Closed of their own too. A dial that the peer refused after its
	// handshake shows as Connected and then Disconnected.
	Disconnected struct {
		Conn Conn
		// Clean: this node closed it, and the peer had read all that was sent.
		Clean bool
		// Err is why it ended; nil when either side closed it in order.
		Err error
	}
	// Violated is a rule of the protocol broken by the peer of a connection, in
	// what the machine never gets to see: a frame that can't be read. The P2P
	// protocol has closed all connections with the peer and lets none in until it
	// hears, by Shun, for how long. Disconnected follows.
	Violated struct {
		Conn Conn
		Rule string // nothing that the peer sent
	}
	// DialFailed ends a Dial that brought no connection.
	DialFailed struct {
		Peer Peer
		Err  error
	}
	// Arrived is a frame with its payload, verified against its hash: inline up
	// to wire.MaxInline bytes, else in the journal under its number.
	Arrived struct {
		Conn    Conn
		Stream  Stream
		Frame   wire.Frame
		Payload Payload
	}
	// Offered is the header of a REQUEST or REPLY whose payload, larger than
	// wire.MaxInline, hasn't been read: Accept reads it; a NACK or REJECT sent
	// on the stream, or a Reset, doesn't.
	Offered struct {
		Conn   Conn
		Stream Stream
		Frame  wire.Frame
	}
	// Closed is the end of a stream, by the peer or by a failure. It, and Arrived,
	// may also come for a stream that was Reset meanwhile.
	Closed struct {
		Conn   Conn
		Stream Stream
	}
	// Progress says that payload bytes are moving on a stream; at most once a
	// second for each.
	Progress struct {
		Conn   Conn
		Stream Stream
	}
)

// Tick is the passing of time: the deadline of the last Ready has come.
type Tick struct{}

// ClockSet says that the wall clock, which gives the time of every step from now on,
// was set by so much: forward, or back where it is negative.
type ClockSet struct{ By time.Duration }

func (Enqueue) input()      {}
func (Respond) input()      {}
func (Refuse) input()       {}
func (Cancel) input()       {}
func (Taken) input()        {}
func (Commit) input()       {}
func (Hangup) input()       {}
func (Renew) input()        {}
func (Pardon) input()       {}
func (Forget) input()       {}
func (Listed) input()       {}
func (Unlisted) input()     {}
func (Everyone) input()     {}
func (Connected) input()    {}
func (Disconnected) input() {}
func (Violated) input()     {}
func (DialFailed) input()   {}
func (Arrived) input()      {}
func (Offered) input()      {}
func (Closed) input()       {}
func (Progress) input()     {}
func (Tick) input()         {}
func (ClockSet) input()     {}

// Notice is something an operator should know, on the priority channels. It is
// never stepped: the P2P protocol's notices pass the machine by.
type Notice struct {
	Kind    NoticeKind
	Peer    Peer      // empty when it isn't known
	Address string    // empty when it isn't known
	Name    Name      // the exchange concerned, if one is
	Detail  string    // the rule broken, the limit hit, the error: never a payload
	Until   time.Time // of a Violation: the peer is kept out until then
	Count   int       // how many, since notices of one kind and peer are put together; 0 counts as 1
	Time    time.Time
}

// NoticeKind is what a Notice is about.
type NoticeKind uint8

const (
	MessageDropped    NoticeKind = iota + 1 // a frame came that could not be taken
	ConnectionLimit                         // of a peer, an IP or in total: Detail says which
	Violation                               // the peer broke the protocol and was disconnected
	StrangerRefused                         // a peer that isn't on the allow list
	IdentityMismatch                        // an address proved another key than its peer's
	PeerSuspended                           // off the allow list with exchanges open
	PeerFenced                              // another process uses this key, or the journal was lost: halted
	JournalRolledBack                       // this node's journal is older than what the peer has seen: halted
	PeerMismatch                            // the peer knows another request under a number: halted
	RecordContradicts                       // a record of the journal contradicts others about the peer: halted
	PeerDiffers                             // the peer means another exchange by a number that is known here
	PeerLostJournal                         // the peer denies what it had acknowledged
	JournalTrouble                          // nothing can be stored: nothing more is accepted
	PeerLimited                             // a peer's request was turned away by a limit, Detail says which: told once until that hasn't happened for a minute
)

// CallOf is the call that an input waits to have answered; 0 for none.
func CallOf(in Input) Call {
	switch in := in.(type) {
	case Enqueue:
		return in.Call
	case Respond:
		return in.Call
	case Refuse:
		return in.Call
	case Cancel:
		return in.Call
	case Commit:
		return in.Call
	case Renew:
		return in.Call
	case Listed:
		return in.Call
	case Unlisted:
		return in.Call
	case Pardon:
		return in.Call
	case Forget:
		return in.Call
	}
	return 0
}

// WithCall is a command that waits for its answer.
func WithCall(in Input, call Call) Input {
	switch in := in.(type) {
	case Enqueue:
		in.Call = call
		return in
	case Respond:
		in.Call = call
		return in
	case Refuse:
		in.Call = call
		return in
	case Cancel:
		in.Call = call
		return in
	case Commit:
		in.Call = call
		return in
	case Renew:
		in.Call = call
		return in
	case Listed:
		in.Call = call
		return in
	case Unlisted:
		in.Call = call
		return in
	case Pardon:
		in.Call = call
		return in
	case Forget:
		in.Call = call
		return in
	}
	panic("fsm: an input that has no answer")
}

// InlineBytes is how many bytes of payloads an input brings that are written
// with the records that name them.
func InlineBytes(in Input) int {
	switch in := in.(type) {
	case Arrived:
		return len(in.Payload.Inline)
	case Respond:
		return len(in.Payload.Inline)
	case Enqueue:
		n := 0
		for _, r := range in.Requests {
			n += len(r.Payload.Inline)
		}
		return n
	}
	return 0
}
