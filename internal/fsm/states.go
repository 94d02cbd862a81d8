package fsm

var dialerStates = [...]string{
	Queued: "queued", Dialing: "dialing", Sending: "sending", Awaiting: "awaiting reply", Backoff: "backoff", Suspended: "suspended",
	Halted: "halted", Cancelling: "cancelling", Answered: "answered", Rejected: "rejected", Expired: "expired", Cancelled: "cancelled",
}

var responderStates = [...]string{
	Receiving: "receiving", Stored: "stored", Delivered: "delivered", Replying: "replying", Refused: "refused",
	AnsweredThere: "answered", Abandoned: "abandoned",
}

var deliveryKinds = [...]string{
	RequestReceived: "request", RequestAbandoned: "abandoned", ReplyReceived: "reply", RequestRejected: "rejected",
	RequestExpired: "expired", RequestCancelled: "cancelled",
}

var noticeKinds = [...]string{
	MessageDropped: "message dropped", ConnectionLimit: "connection limit", Violation: "violation", StrangerRefused: "stranger refused",
	IdentityMismatch: "identity mismatch", PeerSuspended: "peer suspended", PeerFenced: "fenced", JournalRolledBack: "journal rolled back",
	PeerMismatch: "mismatch", PeerDiffers: "peer differs", RecordContradicts: "record contradicts", PeerLostJournal: "peer lost its journal", JournalTrouble: "journal trouble",
	PeerLimited: "peer limited",
}

func (s DialerState) String() string    { return dialerStates[s] }
func (s ResponderState) String() string { return responderStates[s] }
func (k DeliveryKind) String() string   { return deliveryKinds[k] }
func (k NoticeKind) String() string     { return noticeKinds[k] }

// Ends reports whether the delivery is the end of an exchange made here.
func (k DeliveryKind) Ends() bool { return k >= ReplyReceived }
