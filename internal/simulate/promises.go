package simulate

// Promise is what must hold in every step of every run. Each is looked at where
// the comment says.
type Promise int

const (
	// checkMade, outcome
	KeptAndTold Promise = iota + 1
	// serve, outcome
	DeliveredAsMade
	// serve
	TakenOnce
	// checkSend
	SyncedFirst
	// checkSend
	OneAnswer
	// forged
	NumberMeansOne
	// checkSend, take
	ListedOnly
	// checkMade
	NothingDeletes
	// letGo
	AnswersKept
	// stale
	OldChangesNothing
	// recovered
	RecoversAgain
	// serve
	InOrder
	// checkBounds
	Bounded
	// notices
	NobodyBlamed
	// ended
	AllEnds
	// fair
	FairTurns
	// checkPutOff, checkPatience, checkDial
	RetriesDecay
)

// Promises are the promises in words, by their numbers.
var Promises = map[Promise]string{
	KeptAndTold:       "a request that was accepted stays until it ends, and its end is told once",
	DeliveredAsMade:   "every delivery follows an accepted request with that hash, every reply is the one that was given to it",
	TakenOnce:         "a request is handed out once in a run, again only marked, and never after its answer",
	SyncedFirst:       "whatever is sent rests on what is synced: a request, its acknowledgement, a reply, its acknowledgement",
	OneAnswer:         "an exchange has one answer",
	NumberMeansOne:    "a number with another hash, tag or lane changes nothing",
	ListedOnly:        "nothing goes to a peer that is off the allow list, and nothing of it comes to the application",
	NothingDeletes:    "a NACK, a timeout or a lost connection deletes nothing",
	AnswersKept:       "an answer is let go only when its dialer has it durably or has ended the exchange, or the operator dropped it",
	OldChangesNothing: "frames of an old stream or connection change nothing",
	RecoversAgain:     "a crash in recovery, and recovery then, come to the same as recovery",
	InOrder:           "requests of a lane arrive in the order in which they were made",
	Bounded:           "every bound holds, and no machine contradicts itself",
	NobodyBlamed:      "who keeps the rules isn't blamed, and who keeps its journal isn't halted",
	AllEnds:           "once faults stop, all that waits for no application ends within Bound",
	FairTurns:         "no peer delays the events of another by more than one turn",
	RetriesDecay:      "retries become rarer, and the time that a peer asks for is kept",
}

func (p Promise) String() string { return Promises[p] }
