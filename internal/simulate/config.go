package simulate

import "time"

// Config says what is simulated.
type Config struct {
	Seed          uint64
	Nodes         int
	Acquaintances int // how many others each node lists; 0: all
	Lanes         int // of each node
	Requests      int // of each node
	Faults        Faults
	Rogue         bool // the last node breaks every rule
	// Trace keeps a readable line for every event, in Result.Transcript.
	Trace bool
	// Only, when not nil, is what may happen of all that the seed chooses.
	Only []Choice
	// Bound is how long after the last fault all has to have ended; 0: Bound.
	Bound time.Duration
}

// Faults are chances while faults last: each of a frame, a turn, a request, a
// delivery or a start.
type Faults struct {
	// Of a frame.
	Delay     float64 // it comes seconds later
	Duplicate float64 // a copy comes when its stream or connection is over
	Lose      float64 // it and all behind it on its stream vanish
	Reset     float64 // its stream is reset
	Break     float64 // its connection breaks
	Hole      float64 // its connection carries nothing more, and nobody knows
	HalfOpen  float64 // of a broken connection: the other end learns late
	Forge     float64 // a frame like it comes that means another exchange by its number

	// Of a turn.
	Crash   float64 // the process dies, at a point of the turn; half of the time the power fails
	Sync    float64 // the commit fails
	Full    float64 // the disk is full for a while
	Cut     float64 // the way to another node is cut for a while, one way or both
	Move    float64 // the node gets another address
	Hangup  float64 // the operator hangs up
	Unlist  float64 // the operator takes a peer off the list for a while
	Forget  float64 // the operator drops an answer that waits to be fetched
	Jump    float64 // the clock is set while it runs
	Lazy    float64 // the application takes nothing for a while
	Recover float64 // of a start: the process dies in recovery
	Clock   float64 // of a start: the clock has been set
	Empty   float64 // of a start: the journal is lost
	Restore float64 // of a start: the journal is set back

	// Of a request.
	DialErr float64 // of a dial
	Cancel  float64
	Expire  float64 // it has a short deadline
	Call    float64 // somebody waits for its outcome
	Late    float64 // it is answered much later
	Mute    float64 // it is never answered
	Reject  float64
	Large   float64 // it, or its reply, is larger than wire.MaxInline
	Fumble  float64 // of a delivery: the process dies with it in hand
}

// rough is faults of every kind, often, but for those after which promises hold
// only in part.
func rough() Faults {
	return Faults{
		Delay: 0.35, Duplicate: 0.35, Lose: 0.01, Reset: 0.01, Break: 0.01, Hole: 0.003, HalfOpen: 0.3, Forge: 0.02,
		Crash: 0.004, Sync: 0.0005, Full: 0.001, Cut: 0.003, Move: 0.0005, Hangup: 0.002, Unlist: 0.001, Forget: 0.002, Lazy: 0.002,
		Recover: 0.3, Clock: 0.3, Jump: 0.001,
		DialErr: 0.2, Cancel: 0.05, Expire: 0.05, Call: 0.1, Late: 0.1, Reject: 0.05, Large: 0.1, Fumble: 0.01,
	}
}

// Shaped is the group that a seed stands for: from 2 to 20 nodes with about a
// hundred requests, amid faults of every kind, and each seed more of some.
func Shaped(seed uint64) Config {
	mixed := mix(seed, 1)
	c := Config{Seed: seed, Nodes: 2 + int(mixed%4), Lanes: 1 + int(mixed>>8%5), Faults: rough()}
	f := &c.Faults
	switch seed % 20 {
	case 1:
		f.Crash, f.Fumble = 0.02, 0.05
	case 2:
		f.Break, f.HalfOpen = 0.06, 0.6
	case 3:
		f.Reset, f.Lose = 0.06, 0.04
	case 4:
		f.Cancel, f.Late, f.Expire = 0.4, 0.4, 0.2
	case 5:
		f.Large, f.Unlist = 0.6, 0.01
	case 6:
		f.Cut, f.Hole = 0.02, 0.02
	case 7:
		f.Sync, f.Full = 0.006, 0.01
	case 8:
		f.Mute, f.Lazy = 0.1, 0.01
	case 9, 10:
		f.Empty = 0.3
		f.Crash = 0.01
	case 11, 12:
		f.Restore = 0.3
		f.Crash = 0.01
	case 13, 14:
		c.Rogue = true
		c.Nodes++
	case 15:
		f.Move, f.Unlist, f.Hangup = 0.004, 0.004, 0.01
	case 16:
		f.Duplicate, f.Forge = 0.9, 0.3
	case 17:
		c.Nodes = 8 + int(mixed>>16%13)
	case 18:
		f.Call, f.Forget, f.Late = 0.7, 0.05, 0.5
	case 19:
		f = &Faults{} // of nothing: most of what happens happens in order
		c.Faults = *f
	}
	c.Requests = max(110/c.Nodes, 6)
	return c
}

// Calm is when faults end in every run, and Bound how long after that everything
// that waits for no application has ended.
const (
	Calm  = 4 * time.Minute
	Bound = 10 * time.Minute
)
