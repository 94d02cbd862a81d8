package parley

import (
	"strings"
	"sync"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// aside is what Serve came across and didn't take. Outcomes are bounded by
// Config.MaxQueued; of the alerts, which are put together and counted before they
// come here, the latest are kept.
type aside struct {
	mu     sync.Mutex
	events []Event
	alerts int
	given  ID // the outcome given last, not committed
}

func (a *aside) put(e Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Kind.Priority() {
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

// take gives the next event, and the outcome given before, to be committed,
// unless that is done explicitly.
func (a *aside) take(explicit bool) (e Event, done ID, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	done, a.given = a.given, ID{}
	if len(a.events) == 0 {
		return Event{}, done, false
	}
	e = a.events[0]
	a.events = a.events[1:]
	if e.Kind.Priority() {
		a.alerts--
	} else if !explicit {
		a.given = e.ID
	}
	return e, done, true
}

// clip cuts a reason to what a rejection can carry.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), fsm.MaxReason)], "")
}
