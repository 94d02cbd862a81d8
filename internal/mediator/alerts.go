package mediator

import "github.com/parley-p2p/parley/internal/fsm"

// maxAlerts is how many alerts of different kinds and peers wait for the
// application; beyond it those of one kind are put together whatever their peer.
const maxAlerts = 256

// alerts is what waits for room in the priority channel. Alerts of one kind
// about one peer are one, with a count.
type alerts struct {
	waiting []fsm.Notice
	at      map[alertKey]int // place in waiting, plus what has been passed
	passed  int
}

type alertKey struct {
	kind fsm.NoticeKind
	peer fsm.Peer
}

func (a *alerts) add(n fsm.Notice) {
	n.Count = max(n.Count, 1)
	k := alertKey{n.Kind, n.Peer}
	if _, known := a.at[k]; !known && len(a.waiting) >= maxAlerts {
		k.peer, n.Peer = "", ""
	}
	if i, known := a.at[k]; known {
		n.Count += a.waiting[i-a.passed].Count
		a.waiting[i-a.passed] = n // the latest, with all of their count
		return
	}
	if a.at == nil {
		a.at = map[alertKey]int{}
	}
	a.at[k] = a.passed + len(a.waiting)
	a.waiting = append(a.waiting, n)
}

// pass moves alerts to the application as far as there is room.
func (a *alerts) pass(to chan<- fsm.Notice) {
	for len(a.waiting) > 0 {
		select {
		case to <- a.waiting[0]:
			delete(a.at, alertKey{a.waiting[0].Kind, a.waiting[0].Peer})
			a.waiting = a.waiting[1:]
			a.passed++
		default:
			return
		}
	}
}
