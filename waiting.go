package parley

import (
	"slices"

	"github.com/parley-p2p/parley/internal/fsm"
)

// waiting is the requests that Serve has taken and not begun, at most
// Config.MaxOpen: one of each peer in turn, and those of one peer in their order,
// so that a peer which asks much keeps nobody else's waiting.
type waiting struct {
	of    map[fsm.Peer][]fsm.Delivery // at most MaxOpen
	turns []fsm.Peer                  // first the next; one for each peer
	count int
}

func (w *waiting) add(d fsm.Delivery) {
	if w.of == nil {
		w.of = map[fsm.Peer][]fsm.Delivery{}
	}
	if len(w.of[d.Peer]) == 0 {
		w.turns = append(w.turns, d.Peer)
	}
	w.of[d.Peer] = append(w.of[d.Peer], d)
	w.count++
}

// next takes the next one out: there is one.
func (w *waiting) next() fsm.Delivery {
	peer := w.turns[0]
	w.turns = w.turns[1:]
	d := w.of[peer][0]
	w.count--
	if rest := w.of[peer][1:]; len(rest) > 0 {
		w.of[peer] = rest
		w.turns = append(w.turns, peer)
	} else {
		delete(w.of, peer)
	}
	return d
}

// remove takes out a request that was given up, if it is there.
func (w *waiting) remove(d fsm.Delivery) {
	before := len(w.of[d.Peer])
	rest := slices.DeleteFunc(w.of[d.Peer], func(other fsm.Delivery) bool { return other.Name == d.Name })
	w.count -= before - len(rest)
	if len(rest) > 0 {
		w.of[d.Peer] = rest
	} else if before > 0 {
		delete(w.of, d.Peer)
		w.turns = slices.DeleteFunc(w.turns, func(p fsm.Peer) bool { return p == d.Peer })
	}
}
