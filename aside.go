package parley

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// aside is what Serve came across and didn't take, and what the mediator doesn't
// tell. Outcomes are bounded by Config.MaxQueued, and their replies lie in the
// journal until they are taken; alerts of one kind and peer are put together and
// counted, and of the others the latest are kept.
type aside struct {
	came chan struct{} // has one for a Receive that waits

	mu     sync.Mutex
	events []apart // at most MaxQueued outcomes and mediator.AlertRoom alerts
	alerts int
	given  ID // the outcome given last, not committed
}

// apart is an event, or the delivery that it is yet to be made of.
type apart struct {
	Event
	delivery fsm.Delivery
}

func (a *aside) put(e apart) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(e)
}

// putOutcome puts an outcome aside, unless it was committed on the way here.
func (a *aside) putOutcome(d fsm.Delivery, e *early) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !e.take(d.Name) {
		a.add(apart{eventOf(d), d})
	}
}

func (a *aside) add(e apart) {
	select {
	case a.came <- struct{}{}:
	default:
	}
	if e.Kind.Priority() {
		for i, old := range a.events {
			if old.Kind == e.Kind && old.Peer == e.Peer && fmt.Sprint(old.Err) == fmt.Sprint(e.Err) {
				e.Count += old.Count
				a.events[i] = e
				return
			}
		}
		if a.alerts == mediator.AlertRoom {
			for i, old := range a.events {
				if old.Kind.Priority() {
					a.events = append(a.events[:i], a.events[i+1:]...)
					break
				}
			}
			a.alerts--
		}
		a.alerts++
	}
	a.events = append(a.events, e)
}

// committed takes out an outcome that was committed before it was asked for; one
// that may be on its way is noted as early.
func (a *aside) committed(id ID, e *early, onItsWay bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if onItsWay {
		e.add(nameOf(id))
	}
	a.events = slices.DeleteFunc(a.events, func(e apart) bool { return e.ID == id && e.delivery.Kind.Ends() })
}

// take gives the next event. The outcome given before is committed first, unless
// that is done explicitly; if it can't be, nothing is given.
func (a *aside) take(explicit bool, commit func(ID) bool, read func(fsm.Delivery) (Event, bool)) (Event, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given != (ID{}) && !commit(a.given) {
		return Event{}, false
	}
	a.given = ID{}
	if len(a.events) == 0 {
		return Event{}, false
	}
	next := a.events[0]
	a.events = a.events[1:]
	if next.delivery.Kind == 0 {
		a.alerts--
		return next.Event, true
	}
	e, ok := read(next.delivery)
	if ok && !e.Kind.Priority() && !explicit {
		a.given = e.ID
	}
	return e, ok
}

// early is the outcomes that were committed, by ID, while their events may have
// been on their way. It is cleared when none is.
type early struct {
	mu    sync.Mutex
	names map[fsm.Name]struct{} // at most MaxQueued
}

func (e *early) add(name fsm.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.names == nil {
		e.names = map[fsm.Name]struct{}{}
	}
	e.names[name] = struct{}{}
}

// take reports whether the outcome was committed, and forgets it.
func (e *early) take(name fsm.Name) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, found := e.names[name]
	delete(e.names, name)
	return found
}

// clear forgets all: no event waits.
func (e *early) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.names)
}

// clip cuts a reason to what a rejection can carry.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), fsm.MaxReason)], "")
}
