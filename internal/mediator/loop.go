package mediator

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// What a call is answered with when it can't be carried out.
var (
	ErrJournal = errors.New("journal can't store")
	ErrClosed  = errors.New("mediator has stopped")
)

// Channels are the six channels:
//
//	P2P protocol                 mediator                  application
//	                 Actions  ◀────────────  Commands          sender
//	                 Inputs   ────────────▶  Deliveries        receiver
//	                 Notices  ────────────▶  Alerts            priority
//
// Only the mediator's goroutine touches the machine. It never waits on the
// application: what doesn't fit into Deliveries or Alerts stays with the machine,
// which is bounded by its limits, or is put together with its like.
type Channels struct {
	Actions chan<- []fsm.Action // sender to the P2P protocol, which never lets it fill up
	Inputs  <-chan fsm.Input    // receiver from the P2P protocol
	Notices <-chan fsm.Notice   // priority from the P2P protocol

	Commands   chan Command      // sender from the application
	Deliveries chan fsm.Delivery // receiver to the application
	Alerts     chan fsm.Notice   // priority to the application
}

// Capacities of the application's channels.
const (
	// DeliveryRoom bounds the events in the channel to the application. More wait
	// with the machine, or in the journal.
	DeliveryRoom = 256
	// AlertRoom bounds the alerts in the channel to the application. More are put together with their like.
	AlertRoom = 64
	// CallRoom bounds the calls that wait for their answers. More wait for those.
	CallRoom = 256
	// commandRoom bounds the commands in the channel from the application. Every
	// event that is taken sends at most two, that it was taken and that it is done
	// with; there is room for all of these and for the calls, so that taking an
	// event never waits.
	commandRoom = 2*(DeliveryRoom+AlertRoom) + CallRoom
)

// What a turn takes at most, so that no kind of input starves another. The rest
// waits for the next turn.
const (
	// priorityATurn bounds the notices that a turn begins with.
	priorityATurn = 64
	// inputsATurn bounds the inputs after them: a turn that a peer fills is waited for
	// by all others, and one of twice as many saves few syncs.
	inputsATurn = 32
	// commandsATurn bounds the commands of the application in between. More wait for
	// the next turn.
	commandsATurn = 512
	// inlineATurn bounds the payloads that are written with their records, in bytes;
	// the last may go beyond it.
	inlineATurn = 1 << 20
)

// Command is what the application says: an input, answered on Answer when that
// is set, or a look at the machine between two turns, and then perhaps an input.
type Command struct {
	Input  fsm.Input
	Answer chan<- fsm.Answer // with room for one
	// Outcome, with an Enqueue of one waited request, gets its outcome.
	Outcome chan<- fsm.Delivery // with room for one
	Look    func(*fsm.Machine)
}

// Loop runs turns.
type Loop struct {
	Channels
	turn    *Turn
	now     func() time.Time // for the alerts, whose spans are steady
	read    func() (wall time.Time, steady time.Duration)
	clock   Clock
	failed  <-chan struct{} // the log, in the background
	stop    chan struct{}
	stopped chan struct{}

	inputs []fsm.Input                      // at most inputsATurn and two more
	inline int                              // bytes of payloads in inputs
	calls  map[fsm.Call]Command             // at most CallRoom
	waits  map[fsm.Name]chan<- fsm.Delivery // for outcomes, one for each call
	last   fsm.Call
	alerts alerts

	made time.Time
	busy atomic.Int64 // when the turn began, in nanoseconds since made; 0: it waits
}

// NewLoop makes a loop; Run starts it. The first inputs are stepped in the first
// turn, with all that the recovery left to do.
func NewLoop(turn *Turn, actions chan<- []fsm.Action, inputs <-chan fsm.Input, notices <-chan fsm.Notice, first ...fsm.Input) *Loop {
	return &Loop{
		Channels: Channels{
			Actions: actions, Inputs: inputs, Notices: notices,
			Commands:   make(chan Command, commandRoom),
			Deliveries: make(chan fsm.Delivery, DeliveryRoom),
			Alerts:     make(chan fsm.Notice, AlertRoom),
		},
		turn: turn, now: time.Now, read: clocks(suspended), failed: turn.log.Failed(),
		stop: make(chan struct{}), stopped: make(chan struct{}),
		inputs: first,
		calls:  map[fsm.Call]Command{},
		waits:  map[fsm.Name]chan<- fsm.Delivery{},
		made:   time.Now(),
	}
}

// Run takes turns until Stop.
func (l *Loop) Run() {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	l.begin()
	for {
		wall, steady := l.read()
		if by := l.clock.Set(wall, steady); by != 0 {
			l.inputs = slices.Insert(l.inputs, 0, fsm.Input(fsm.ClockSet{By: by}))
		}
		began := l.now()
		outcome := l.turn.Take(wall, l.inputs)
		clear(l.inputs)
		l.inputs, l.inline = l.inputs[:0], 0
		now := l.now()
		if !l.carryOut(now, outcome) {
			return
		}
		timer.Stop()
		if at := outcome.Deadline; !at.IsZero() {
			at = began.Add(min(at.Sub(wall), wallLook))
			timer.Reset(sooner(at, l.alerts.at).Sub(now))
		} else if at = l.alerts.at; !at.IsZero() {
			timer.Reset(at.Sub(now))
		}
		if !l.wait(timer.C) {
			return
		}
	}
}

// Unwait gives up waiting for an outcome: it is delivered like any other. It may
// be in the Outcome channel already.
func (l *Loop) Unwait(name fsm.Name) Command {
	return Command{Look: func(m *fsm.Machine) {
		delete(l.waits, name)
		m.Unwait(name)
	}}
}

// begin notes when a turn begins.
func (l *Loop) begin() { l.busy.Store(int64(max(time.Since(l.made), 1))) }

// Busy is for how long the loop has been in one turn, zero while it waits for
// something to do. Others may ask while it runs, even when it hangs.
func (l *Loop) Busy() time.Duration {
	since := l.busy.Load()
	if since == 0 {
		return 0
	}
	return time.Since(l.made) - time.Duration(since)
}

// Stop ends the loop after the turn that it is in. What was committed stays.
func (l *Loop) Stop() {
	close(l.stop)
	<-l.stopped
}

// Stopped is closed when the loop has ended: no command is answered any more.
func (l *Loop) Stopped() <-chan struct{} { return l.stopped }

// carryOut acts, settles and delivers, in this order. It reports whether the
// loop goes on.
func (l *Loop) carryOut(now time.Time, o Outcome) bool {
	goesOn := true
	if len(o.Actions) > 0 {
		select {
		case l.Actions <- o.Actions:
		case <-l.stop:
			goesOn = false // but what was committed is answered
		}
	}
	for _, a := range o.Answers {
		c := l.calls[a.Call]
		delete(l.calls, a.Call)
		if c.Outcome != nil && a.Err == nil {
			l.waits[a.Names[0]] = c.Outcome
		}
		c.Answer <- a
	}
	for {
		d, ok := l.turn.DeliverWaited()
		if !ok {
			break
		}
		l.waits[d.Name] <- d
		delete(l.waits, d.Name)
	}
	if !goesOn {
		return false
	}
	for _, n := range o.Notices {
		l.alerts.add(l.now(), n)
	}
	l.alerts.pass(now, l.Alerts)
	for len(l.Deliveries) < cap(l.Deliveries) {
		d, ok := l.turn.Deliver()
		if !ok {
			break
		}
		l.Deliveries <- d
	}
	return true
}

// wait gathers the inputs of the next turn: what has priority first, then all
// that is there.
func (l *Loop) wait(tick <-chan time.Time) bool {
	l.busy.Store(0)
	select {
	case n := <-l.Notices:
		l.alerts.add(l.now(), n)
	case in := <-l.Inputs:
		l.add(in)
	case c := <-l.Commands:
		l.begin() // a look is part of the turn
		l.command(c)
	case <-tick:
		l.add(fsm.Tick{})
	case <-l.failed:
		l.failed = nil // the next turn finds it, once
	case <-l.stop:
		return false
	}
	l.begin()
	for range priorityATurn {
		select {
		case n := <-l.Notices:
			l.alerts.add(l.now(), n)
			continue
		default:
		}
		break
	}
	l.gather()
	return true
}

// gather adds what is there, so much of it as one turn takes.
func (l *Loop) gather() {
	inputs, commands := l.Inputs, l.Commands
	for taken, said := 0, 0; l.inline < inlineATurn; {
		if taken == inputsATurn {
			inputs = nil
		}
		if said == commandsATurn {
			commands = nil
		}
		select {
		case in := <-inputs:
			l.add(in)
			taken++
		case c := <-commands:
			l.command(c)
			said++
		default:
			return
		}
	}
}

func (l *Loop) command(c Command) {
	switch {
	case c.Look != nil:
		c.Look(l.turn.Machine)
		if c.Input != nil {
			l.add(c.Input)
		}
		if c.Answer != nil {
			c.Answer <- fsm.Answer{}
		}
	case c.Answer != nil:
		l.last++
		l.calls[l.last] = c
		l.add(fsm.WithCall(c.Input, l.last))
	default:
		l.add(c.Input)
	}
}

func (l *Loop) add(in fsm.Input) {
	l.inputs = append(l.inputs, in)
	l.inline += fsm.InlineBytes(in)
}

// sooner is the earlier of two moments, of which either may be zero: never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
