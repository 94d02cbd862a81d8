package simulate

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

// node is one simulated node: machine, turn, log and application.
type node struct {
	w        *world
	index    int
	id       fsm.Peer
	log      *log
	app      *application
	turn     *mediator.Turn // nil while it is down
	life     int            // how often it was started
	inbox    []fsm.Input
	waking   bool
	ticks    uint64
	unlisted map[*node]bool
	calls    map[fsm.Call]func(fsm.Answer)
	lastCall fsm.Call
	ends     []*end              // of its connections, in order
	streams  uint64              // inbound ones, odd
	asked    map[number]wire.Tag // of the requests that came, for checkAck
}

func newNode(w *world, index int) *node {
	n := &node{w: w, index: index, id: fsm.Peer(fmt.Sprintf("n%d", index)), log: newLog(w), unlisted: map[*node]bool{}, asked: map[number]wire.Tag{}}
	n.app = newApplication(n)
	return n
}

func (n *node) String() string { return string(n.id) }

// start begins a life: the log is replayed, and the first turn follows.
func (n *node) start() {
	w := n.w
	n.life++
	n.inbox, n.waking, n.calls = nil, false, map[fsm.Call]func(fsm.Answer){}
	restorer := fsm.Restore(fsm.Config{
		Self: n.id, Jitter: w.rng.Float64,
		DisconnectionTimeout: 30 * time.Second, AckTimeout: 10 * time.Second,
		RetryMin: 100 * time.Millisecond, RetryMax: 10 * time.Second, PollMax: time.Minute, KeepOutMax: time.Hour,
		MaxMessageSize: 1 << 20, MaxQueuedPerPeer: 1000, MaxQueued: 10000, MaxOpenPerPeer: 2, MaxOpen: 5, ExchangesPerSecond: 1, BytesPerSecond: 50 << 10,
		MaxStoredPerPeer: 400 << 10, MaxStored: 800 << 10, MaxStreams: 4, History: 20, HistoryAge: time.Hour,
	})
	if err := n.log.replay(restorer.Record); err != nil {
		w.breaks("%v: replay: %v", n, err)
		return
	}
	machine := restorer.Done(w.now)
	for _, missing := range n.log.sweep(restorer.Numbers()) {
		w.breaks("%v: payload %d is named and missing", n, missing)
	}
	n.turn = mediator.NewTurn(machine, n.log)
	w.note("%v starts, life %d", n, n.life)
	n.app.begin()
	for _, other := range w.nodes {
		if other != n && !n.unlisted[other] {
			n.post(fsm.Listed{Peer: other.id})
		}
	}
	for _, other := range w.nodes { // nodes made later list themselves
		if other != n && other.turn != nil && !other.unlisted[n] {
			other.post(fsm.Listed{Peer: n.id})
		}
	}
	n.post(fsm.Tick{})
}

// post puts an input before the node, which takes it in its next turn.
func (n *node) post(in fsm.Input) {
	if n.turn == nil {
		return
	}
	n.inbox = append(n.inbox, in)
	if !n.waking {
		n.waking = true
		life := n.life
		n.w.after(n.w.within(2*time.Millisecond), func() {
			if n.life == life && n.turn != nil {
				n.wake()
			}
		})
	}
}

// call posts a command and has its answer taken; a crash answers nothing.
func (n *node) call(in fsm.Input, done func(fsm.Answer)) {
	n.lastCall++
	n.calls[n.lastCall] = done
	n.post(fsm.WithCall(in, n.lastCall))
}

// wake takes one turn.
func (n *node) wake() {
	w := n.w
	inputs := n.inbox
	n.inbox, n.waking = nil, false
	if w.chance(w.config.Faults.Crash) {
		n.log.crash = []crashPoint{beforeCommit, inCommit, afterCommit}[w.rng.IntN(3)]
	}
	for _, in := range inputs {
		w.note("%v <- %s", n, describe(in))
	}
	out := n.turn.Take(w.now, inputs)
	if n.log.crashed || n.log.crash == beforeCommit || n.log.crash == inCommit {
		n.down()
		return
	}
	crashAfter := n.log.crash == afterCommit
	for _, a := range out.Actions {
		n.check(a)
		if crashAfter && w.rng.IntN(2) == 0 {
			n.down()
			return
		}
		n.act(a)
	}
	if crashAfter {
		n.down()
		return
	}
	for _, a := range out.Answers {
		if done := n.calls[a.Call]; done != nil {
			delete(n.calls, a.Call)
			done(a)
		}
	}
	for _, notice := range out.Notices {
		w.note("%v !! %v %s: %s", n, notice.Kind, notice.Peer, notice.Detail)
		switch notice.Kind {
		case fsm.Violation, fsm.PeerFenced, fsm.JournalRolledBack, fsm.PeerMismatch, fsm.PeerDiffers, fsm.PeerLostJournal, fsm.JournalTrouble:
			w.breaks("%v blames %s: %v: %s", n, notice.Peer, notice.Kind, notice.Detail)
		}
	}
	n.app.poll()
	n.ticks++
	if tick := n.ticks; !out.Deadline.IsZero() {
		life := n.life
		w.after(max(0, out.Deadline.Sub(w.now)), func() {
			if n.life == life && n.ticks == tick && n.turn != nil {
				n.post(fsm.Tick{})
			}
		})
	}
	if w.chance(w.config.Faults.Hangup) {
		n.post(fsm.Hangup{Peer: w.nodes[w.rng.IntN(len(w.nodes))].id})
	}
	if w.chance(w.config.Faults.Unlist) {
		other := w.nodes[w.rng.IntN(len(w.nodes))]
		if other != n && !n.unlisted[other] {
			n.list(other, false)
			w.after(w.within(20*time.Second), func() {
				if n.unlisted[other] {
					n.list(other, true)
				}
			})
		}
	}
}

func (n *node) list(other *node, listed bool) {
	n.w.note("%v lists %v: %v", n, other, listed)
	if listed {
		delete(n.unlisted, other)
		n.post(fsm.Listed{Peer: other.id})
		return
	}
	n.unlisted[other] = true
	n.post(fsm.Unlisted{Peer: other.id})
}

// down is a crash: what the log hadn't synced is lost, except for some beginning
// of it, and every connection breaks.
func (n *node) down() {
	w := n.w
	w.result.Crashes++
	w.note("%v crashes", n)
	n.turn = nil
	n.log.powerCut()
	for _, e := range n.ends {
		e.sever(errors.New("crashed"))
	}
	n.ends = nil
	w.after(50*time.Millisecond+w.within(5*time.Second), func() {
		if n.turn == nil {
			n.start()
		}
	})
}
