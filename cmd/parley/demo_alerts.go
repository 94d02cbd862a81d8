package main

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

// alert is what a member's handler told its operator.
type alert struct {
	Kind    parley.Kind   `json:"kind"`
	Peer    identity.ID   `json:"peer"`    // zero where it isn't known
	Address string        `json:"address"` // empty where it isn't known
	Count   int           `json:"count"`
	Text    string        `json:"text"`
	KeptOut time.Duration `json:"kept_out"` // the peer, for breaking the protocol
}

func alertOf(event parley.Event) alert {
	a := alert{Kind: event.Kind, Peer: event.Peer, Address: event.Address, Count: event.Count}
	err := event.Err
	if about := new(parley.PeerError); errors.As(err, &about) {
		err = about.Err // the peer is named beside it
	}
	if err != nil {
		a.Text = err.Error()
	}
	if !event.Until.IsZero() {
		a.KeptOut = event.Until.Sub(event.Time)
	}
	return a
}

// watchful is a member's handler, and notes what it tells the operator, and
// whether it keeps what it promises of the events that it gives.
type watchful struct {
	*parley.Handler
	committee *committee.Committee
	logger    *slog.Logger
	before    map[parley.ID]bool // whose event was taken by an earlier run
	given     map[given]bool     // in this run
	alerts    []alert            // not told yet
	broken    int                // promises
}

// given is an event that is given once in a run.
type given struct {
	kind parley.Kind
	id   parley.ID
}

// newWatchful knows from the member's state what was given to earlier runs.
func newWatchful(handler *parley.Handler, agreed *committee.Committee, records []committee.Record, logger *slog.Logger) *watchful {
	w := &watchful{Handler: handler, committee: agreed, logger: logger, before: map[parley.ID]bool{}, given: map[given]bool{}}
	for _, record := range records {
		if record.Kind == committee.RequestApplied || record.Kind == committee.ReplyApplied {
			w.before[record.Exchange] = true
		}
	}
	return w
}

// CheckReceive is the handler's, and looks at what it gives.
func (w *watchful) CheckReceive() (parley.Event, bool) {
	event, ok := w.Handler.CheckReceive()
	switch {
	case !ok:
	case event.Kind.Priority():
		w.alerts = append(w.alerts, alertOf(event))
	case slices.Contains(w.committee.Members, event.Peer):
		w.check(event)
	}
	return event, ok
}

// check holds the handler to its word, for exchanges with the committee's members:
// an event is given once in a run, and is marked if an earlier run had it. No
// journal is lost here, so that nothing is possibly seen.
func (w *watchful) check(event parley.Event) {
	key := given{event.Kind, event.ID}
	fault := ""
	switch {
	case w.given[key]:
		fault = "given twice in a run"
	case w.before[event.ID] && !event.Redelivered:
		fault = "given to an earlier run, and not marked"
	case event.PossiblySeen:
		fault = "marked as possibly seen, though no journal was lost"
	}
	w.given[key] = true
	if fault != "" {
		w.broken++
		w.logger.Error("the handler broke a promise", "event", event.Kind.String(), "exchange", event.ID, "what", fault)
	}
}

// tell returns what was noted since the last time.
func (w *watchful) tell() (alerts []alert, broken int) {
	alerts, broken = w.alerts, w.broken
	w.alerts, w.broken = nil, 0
	return alerts, broken
}
