package simulate

import (
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// misfortunes are what happens to a node between two turns.
func (n *node) misfortunes(s spot) {
	w, f := n.w, &n.w.config.Faults
	if len(n.knows) == 0 {
		return
	}
	other := n.knows[w.dice.oneOf(s, len(n.knows))]
	between := n.connected(other)
	if s := s.as(DiskFull); w.chance(s, f.Full) && !n.log.low {
		w.strike(s, between, "%v: the disk is full", n)
		n.log.low = true
		w.after(w.dice.within(s, time.Minute), func() { n.log.low = false })
	}
	if s := s.as(WayCut); w.chance(s, f.Cut) {
		n.cut(s, other, between)
	}
	if s := s.as(Moved); w.chance(s, f.Move) {
		n.move(s)
	}
	if s := s.as(HungUp); w.chance(s, f.Hangup) {
		w.strike(s, between, "%v hangs up on %v", n, other)
		n.post(fsm.Hangup{Peer: other.id})
	}
	if s := s.as(Unlisted); w.chance(s, f.Unlist) && !n.unlisted[other] {
		w.strike(s, between, "%v takes %v off its list", n, other)
		n.list(other, false)
		w.after(w.dice.within(s, 20*time.Second), func() {
			if n.unlisted[other] {
				n.list(other, true)
			}
		})
	}
	if s := s.as(ClockJumped); w.chance(s, f.Jump) {
		n.jump(s)
	}
	if s := s.as(Idled); w.chance(s, f.Lazy) {
		w.strike(s, between, "the application of %v takes nothing", n)
		n.app.lazyUntil = w.now.Add(w.dice.within(s, time.Minute))
	}
	if s := s.as(Forgotten); w.chance(s, f.Forget) {
		n.forget(s)
	}
}

// cut closes the way to another, and perhaps the way back.
func (n *node) cut(s spot, other *node, inFlight bool) {
	w := n.w
	until := w.now.Add(w.dice.within(s, 90*time.Second))
	ways, how := []*way{w.way(n, other)}, "to"
	switch w.dice.oneOf(s, 3) {
	case 1:
		ways, how = []*way{w.way(other, n)}, "from"
	case 2:
		ways, how = append(ways, w.way(other, n)), "to and from"
	}
	w.strike(s, inFlight, "the way of %v %s %v is cut until %.3f s", n, how, other, until.Sub(w.start).Seconds())
	for _, way := range ways {
		way.cutUntil = until
	}
}

// move gives the node another address. Its connections are dead, and others
// learn where it is by and by.
func (n *node) move(s spot) {
	w := n.w
	w.strike(s, len(n.ends) > 0, "%v moves", n)
	n.place++
	for _, e := range n.ends {
		e.silence(w.dice.within(s.as(amount), 30*time.Second))
	}
	for _, other := range n.knows {
		w.after(w.dice.within(w.dice.next(amount, uint64(other.index)), 30*time.Second), func() { other.learn(n) })
	}
}

// learn puts another's new address on the list.
func (n *node) learn(other *node) {
	if n.book[other] == other.place {
		return
	}
	n.book[other] = other.place
	if !n.unlisted[other] {
		delete(n.dials, other.id)
		n.post(fsm.Listed{Peer: other.id})
	}
}

func (n *node) list(other *node, listed bool) {
	n.w.stamp(4, uint64(n.index), uint64(other.index))
	if listed {
		n.w.note("%v lists %v", n, other)
		delete(n.unlisted, other)
		delete(n.dials, other.id)
		n.returned[other.id] = true
		n.post(fsm.Listed{Peer: other.id})
		return
	}
	n.unlisted[other] = true
	n.post(fsm.Unlisted{Peer: other.id})
}

// forget drops an answer that waits to be fetched.
func (n *node) forget(s spot) {
	w := n.w
	for _, x := range n.turn.Machine.Exchanges() {
		if x.Responder != fsm.Replying || x.PossiblySeen {
			continue
		}
		r := w.made[x.Name.Tag]
		if r == nil || !w.clean(n, r.from) {
			continue
		}
		w.strike(s, true, "%v drops its answer to %x", n, x.Name.Tag[:3])
		n.call(fsm.Forget{Name: x.Name}, func(fsm.Answer) {})
		r.dropped = true
		return
	}
}

// jump sets the clock under the running process, which finds out in its next turn.
func (n *node) jump(s spot) {
	was := n.skew
	n.skew = []time.Duration{-25 * time.Hour, -5 * time.Hour, -time.Minute, time.Minute, 5 * time.Hour}[n.w.dice.oneOf(s, 5)]
	n.jumped = n.skew != was
	n.w.strike(s, n.jumped && n.busy(), "the clock of %v is set while it runs: from %v to %v", n, was, n.skew)
}

// misfortune is what has become of a node's disk and clock while it was down.
func (n *node) misfortune() {
	w, f := n.w, &n.w.config.Faults
	if n.life == 1 {
		return
	}
	if s := n.inLife.as(ClockSet); w.chance(s, f.Clock) {
		n.skew = []time.Duration{-25 * time.Hour, -time.Minute, -time.Second, 0, time.Second, time.Minute, time.Hour}[w.dice.oneOf(s, 7)]
		w.strike(s, len(n.log.records) > 0, "the clock of %v is set: %v", n, n.skew)
	}
	if s := n.inLife.as(JournalLost); w.chance(s, f.Empty) {
		w.strike(s, len(n.log.records) > 0, "%v loses its journal", n)
		n.goBack(newLog(n))
	} else if s := n.inLife.as(JournalSetBack); w.chance(s, f.Restore) {
		w.strike(s, len(n.log.records) > 0, "the journal of %v is set back", n)
		n.goBack(n.older)
	}
}

// goBack gives a node another journal. Its promises are over, but for what it can
// still know.
func (n *node) goBack(old *log) {
	for _, other := range n.knows {
		n.w.taint(n, other)
	}
	n.log.set(old)
	n.setBack = true
	n.app.setBack()
}

// heed does what an operator does when it is told something.
func (n *node) heed(notices []fsm.Notice) {
	w := n.w
	for _, notice := range notices {
		w.note("%v is told: %v %s: %s", n, notice.Kind, notice.Peer, notice.Detail)
		switch notice.Kind {
		case fsm.JournalTrouble:
			n.trouble()
		case fsm.Violation:
			if other := w.byID[notice.Peer]; !n.rogue && !other.rogue {
				w.breaks(NobodyBlamed, "%v blames %s: %s", n, notice.Peer, notice.Detail)
			}
		case fsm.PeerFenced, fsm.JournalRolledBack, fsm.PeerMismatch, fsm.RecordContradicts, fsm.PeerDiffers, fsm.PeerLostJournal:
			if n.rogue || n.forging {
				continue
			}
			other := w.byID[notice.Peer]
			if w.clean(n, other) {
				w.breaks(NobodyBlamed, "%v is told of %v by %s: %s", n, notice.Kind, notice.Peer, notice.Detail)
			}
			if notice.Kind == fsm.PeerLostJournal || notice.Kind == fsm.PeerDiffers {
				continue
			}
			n.renew(other)
		}
	}
}

// renew ends a halt after a while, as an operator does who has looked.
func (n *node) renew(other *node) {
	w, life := n.w, n.life
	w.after(time.Second+w.dice.within(w.dice.next(amount, uint64(n.index)), 20*time.Second), func() {
		if n.life == life && n.turn != nil {
			w.result.Renewals++
			clear(n.putOff)
			n.call(fsm.Renew{Peer: other.id}, func(fsm.Answer) { delete(n.dials, other.id) })
		}
	})
}

// trouble starts a node again whose log has failed. One that is full only waits.
func (n *node) trouble() {
	w := n.w
	if n.turn.Failed() == nil {
		return
	}
	life := n.life
	s := w.dice.next(choice, 3000+uint64(n.index))
	w.after(w.dice.within(s, 10*time.Second), func() {
		if n.life == life && n.turn != nil {
			w.note("%v is started again", n)
			n.down(w.dice.oneOf(s, 2) == 0, s)
		}
	})
}
