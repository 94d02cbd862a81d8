// Package mediator stands between the P2P protocol, which is asynchronous, and
// the application, which is not. [Turn] is what it does: a plain function of
// state, time and inputs, so that a simulation can run the very same code.
// [Loop] runs turns on one goroutine, around six channels and one timer.
package mediator

import (
	"fmt"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// Log makes a batch durable: all of it or nothing, synced when the batch asks
// for it. After an error it is never called again.
type Log interface {
	Commit(fsm.Batch) error
	// Low reports whether there is too little room to accept anything more.
	Low() bool
	// Failed is closed when the log has failed, also in the background; Err then
	// says why.
	Failed() <-chan struct{}
	Err() error
}

// Turn owns the machine and the log.
type Turn struct {
	Machine *fsm.Machine
	log     Log
	failed  error
}

// Outcome is what is left to do after a turn, all of it allowed: what had to be
// durable is.
type Outcome struct {
	Actions  []fsm.Action
	Answers  []fsm.Answer
	Notices  []fsm.Notice
	Deadline time.Time // of the next turn, at the latest; zero: when an input comes
}

// NewTurn begins with a machine that is new or restored.
func NewTurn(machine *fsm.Machine, log Log) *Turn { return &Turn{Machine: machine, log: log} }

// Take steps inputs and commits what follows from all of them at once.
//
// When the log fails nothing that was to follow happens, and nothing ever will:
// calls are answered with the failure, connections are closed so that peers try
// again later, and the operator is told, once. Whether the batch is on disk is
// then not known, so the machine, which says it is, is never asked again.
func (t *Turn) Take(now time.Time, inputs []fsm.Input) Outcome {
	if t.failed != nil {
		return Outcome{Answers: t.refuse(inputs), Actions: turnAway(inputs)}
	}
	if err := t.log.Err(); err != nil {
		out := t.fail(now, fsm.Ready{}, err)
		out.Answers = t.refuse(inputs)
		return out
	}
	if len(inputs) > 0 { // else somebody has only looked
		t.Machine.SetFull(now, t.log.Low())
	}
	for _, in := range inputs {
		t.Machine.Step(now, in)
	}
	ready := t.Machine.Ready(now)
	if !ready.Batch.Empty() || ready.Batch.Sync {
		if err := t.log.Commit(ready.Batch); err != nil {
			return t.fail(now, ready, err)
		}
	}
	return Outcome{Actions: ready.Actions, Answers: ready.Answers, Notices: ready.Notices, Deadline: ready.Deadline}
}

// Deliver takes out the next event for the application.
func (t *Turn) Deliver() (fsm.Delivery, bool) {
	if t.failed != nil {
		return fsm.Delivery{}, false
	}
	return t.Machine.Deliver()
}

// DeliverWaited takes out the next outcome that a call waits for.
func (t *Turn) DeliverWaited() (fsm.Delivery, bool) {
	if t.failed != nil {
		return fsm.Delivery{}, false
	}
	return t.Machine.DeliverWaited()
}

// Failed is why nothing is accepted any more; nil while all is well.
func (t *Turn) Failed() error { return t.failed }

func (t *Turn) fail(now time.Time, ready fsm.Ready, err error) Outcome {
	t.failed = fmt.Errorf("%w: %w", ErrJournal, err)
	for i := range ready.Answers {
		ready.Answers[i].Err = t.failed
	}
	return Outcome{
		Actions: t.Machine.DisconnectAll(),
		Answers: ready.Answers,
		Notices: []fsm.Notice{{Kind: fsm.JournalTrouble, Detail: err.Error(), Time: now}},
	}
}

// turnAway closes every new connection: its peer tries again later.
func turnAway(inputs []fsm.Input) []fsm.Action {
	var actions []fsm.Action
	for _, in := range inputs {
		if c, ok := in.(fsm.Connected); ok {
			actions = append(actions, fsm.Disconnect{Conn: c.Conn})
		}
	}
	return actions
}

// refuse answers every call of the inputs with the failure.
func (t *Turn) refuse(inputs []fsm.Input) []fsm.Answer {
	var answers []fsm.Answer
	for _, in := range inputs {
		if call := fsm.CallOf(in); call != 0 {
			answers = append(answers, fsm.Answer{Call: call, Err: t.failed})
		}
	}
	return answers
}
