package simulate

import (
	"fmt"
	"time"
)

// Kind is what a choice is about.
type Kind uint8

const (
	Asks Kind = iota + 1 // an application makes a request

	Delayed
	Duplicated
	Lost
	WasReset
	Broke
	Holed
	HalfOpened
	Forged
	Outdated
	Crashed
	SyncFailed
	DiskFull
	WayCut
	Moved
	HungUp
	Unlisted
	Forgotten
	Idled
	DiedRecovering
	DiedSweeping
	ClockSet
	ClockJumped
	JournalLost
	JournalSetBack
	DialFailed
	Cancels
	Expires
	Calls
	AnswersLate
	NeverAnswers
	Rejects
	SendsMuch
	DiedInHand
	Misbehaved

	latency // from here on nothing that fails: only how much
	amount
	choice
	kinds
)

var kindNames = [kinds]string{
	Asks: "requests", Delayed: "frames delayed", Duplicated: "frames that came again", Lost: "streams that lost all", WasReset: "streams reset",
	Broke: "connections broken", Holed: "connections gone silent", HalfOpened: "connections half open", Forged: "frames forged", Outdated: "frames of an old epoch", Crashed: "crashes",
	SyncFailed: "failed syncs", DiskFull: "full disks", WayCut: "ways cut", Moved: "moves", HungUp: "hangups", Unlisted: "peers off the list",
	Forgotten: "answers dropped", Idled: "lazy applications", DiedRecovering: "crashes in recovery", DiedSweeping: "sweeps cut short", ClockSet: "clocks set", ClockJumped: "clocks set while running", JournalLost: "journals lost",
	JournalSetBack: "journals set back", DialFailed: "dials failed", Cancels: "cancels", Expires: "deadlines", Calls: "calls", AnswersLate: "late answers",
	NeverAnswers: "answers that never come", Rejects: "rejections", SendsMuch: "large payloads", DiedInHand: "crashes with an event in hand",
	Misbehaved: "frames against the rules",
}

func (k Kind) String() string { return kindNames[k] }

// fault reports whether a choice is something that goes wrong, rather than
// something that a user does.
func (k Kind) fault() bool {
	switch k {
	case Asks, Cancels, Calls, AnswersLate, NeverAnswers, Rejects, SendsMuch, Expires, HungUp:
		return false
	}
	return k < latency
}

// Kinds are those of faults, for a report.
func Kinds() []Kind {
	var all []Kind
	for k := Asks; k < latency; k++ {
		if k.fault() {
			all = append(all, k)
		}
	}
	return all
}

// Choice is one thing that happened because the seed chose so: a request that is
// made, or a fault that strikes.
type Choice struct {
	spot
	At   time.Duration // since the start
	What string
}

func (c Choice) String() string { return fmt.Sprintf("%9.3fs  %s", c.At.Seconds(), c.What) }
