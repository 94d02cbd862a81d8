package fsm

import (
	"time"

	"github.com/google/go-cmp/cmp"
)

func (w *world) tick() {
	w.finish()
	if at := w.ready.Deadline; !at.IsZero() && at.After(w.now) {
		w.now = at
	}
	w.do(Tick{})
}

func (w *world) pause() {
	w.now = w.now.Add([]time.Duration{time.Millisecond, second, 2 * second, 11 * second, 30 * second}[w.choose(5)])
	w.do(Tick{})
}

// restarts ends the process in order: everything durable must be there again.
func (w *world) restarts() {
	w.finish()
	w.checkRestored()
	w.note("restart")
	w.begin(false)
}

// checkRestored compares the machine with the one that its journal gives.
func (w *world) checkRestored() {
	again := restored(w.t, w.m.config, w.written, w.now)
	if diff := cmp.Diff(w.m.view(), again.view()); diff != "" {
		w.fail("restored otherwise (-before +after):\n%s", diff)
	}
	again.Ready(w.now)
	if broken := again.broken(); broken != "" {
		w.fail("the restored machine contradicts itself: %s", broken)
	}
}

// crashes loses what wasn't synced, and the turn that wasn't over.
func (w *world) crashes() {
	w.note("crash")
	w.m.Ready(w.now)
	w.begin(true)
}

func (w *world) begin(crash bool) {
	clear(w.links)
	clear(w.ended)
	clear(w.toldOnce)
	clear(w.asked)
	clear(w.staged)
	clear(w.answers)
	clear(w.commits)
	clear(w.offers)
	w.dialing = nil
	w.stored = nil
	w.restart(crash)
	w.look()
	for _, p := range []Peer{alice, bob} {
		if w.choose(8) != 1 {
			w.do(Listed{Peer: p})
		}
	}
}
