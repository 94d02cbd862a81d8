package simulate

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

// node is one simulated node: machine, turn, log and application, and its operator.
type node struct {
	w     *world
	index int
	id    fsm.Peer
	rogue bool
	log   *log
	app   *application
	skew  time.Duration // of its clock

	clocks mediator.Clock // of this life
	jumped bool           // its clock was set since the last turn

	knows    []*node // whom it lists, in order; one for each node
	unlisted map[*node]bool
	place    uint64           // its address
	book     map[*node]uint64 // where it believes others to be; one for each peer

	turn     *mediator.Turn // nil while it is down
	config   fsm.Config
	life     int         // how often it was started
	inbox    []fsm.Input // as many as come between two turns
	waking   bool
	deadline time.Time
	tickAt   time.Time
	calls    map[fsm.Call]func(fsm.Answer) // one for each call
	lastCall fsm.Call
	ends     []*end                  // of its connections, in order; one for each connection
	streams  uint64                  // inbound ones, odd
	asked    map[number]wire.Tag     // of the requests that came, for checkAck; one for each exchange
	dials    map[fsm.Peer]dials      // that failed one after the other, one for each peer
	putOff   map[wire.Tag]putOff     // by a NACK, one for each exchange
	carries  map[fsm.Stream]wire.Tag // what was last sent on a stream, one for each
	bound    map[wire.Tag]fsm.Stream // and where, one for each exchange
	tries    map[attempt]try         // requests and replies that were sent, one for each exchange
	returned map[fsm.Peer]bool       // peers that came back on the list since the application last looked; one for each
	forging  bool
	outdated bool         // a frame of an older epoch is let in
	did      []fsm.Action // in the last turn
	setBack  bool         // its journal was lost, or was set back
	older    *log         // what was durable at some moment of before
	inLife   spot         // of this life's choices
	dies     spot         // of the crash that is to come
}

// number is an exchange as the wire names it to its responder.
type number struct {
	dialer     fsm.Peer
	epoch, seq uint64
}

func newNode(w *world, index int) *node {
	n := &node{
		w: w, index: index, id: fsm.Peer(fmt.Sprintf("n%d", index)),
		unlisted: map[*node]bool{}, book: map[*node]uint64{}, asked: map[number]wire.Tag{},
		dials: map[fsm.Peer]dials{}, putOff: map[wire.Tag]putOff{}, carries: map[fsm.Stream]wire.Tag{}, bound: map[wire.Tag]fsm.Stream{}, tries: map[attempt]try{}, returned: map[fsm.Peer]bool{},
	}
	n.log = newLog(n)
	n.older = n.log.copied()
	n.app = newApplication(n)
	n.config = n.limits()
	return n
}

func (n *node) String() string { return string(n.id) }

// limits are small, so that they are reached, and other ones for each node.
func (n *node) limits() fsm.Config {
	w := n.w
	at := w.dice.next(choice, uint64(n.index))
	room := 1
	if w.config.Faults.Mute > 0 {
		room = 100 // requests that are never answered would fill it, and the others wait for these
	}
	c := fsm.Config{
		Self: n.id, Jitter: func() float64 { return w.dice.number(w.dice.next(amount, uint64(n.index)), 3) },
		IdleTimeout:          []time.Duration{0, 0, time.Second, 10 * time.Second}[w.dice.oneOf(at, 4)],
		DisconnectionTimeout: 30 * time.Second, AckTimeout: 10 * time.Second,
		RetryMin: 100 * time.Millisecond, RetryMax: 10 * time.Second, PollMax: time.Minute, KeepOutMax: time.Hour,
		MaxMessageSize:   []int64{150 << 10, 1 << 20, 2 << 20}[w.dice.bits(at, 3)%3],
		MaxQueuedPerPeer: []int{8, 1000}[w.dice.bits(at, 7)%2], MaxQueued: []int{20, 10000}[w.dice.bits(at, 8)%2], MaxOpenPerPeer: room * (2 + int(w.dice.bits(at, 4)%4)), MaxOpen: room * (5 + int(w.dice.bits(at, 5)%8)),
		ExchangesPerSecond: 1, BytesPerSecond: 50 << 10,
		MaxStoredPerPeer: int64(room) * 400 << 10, MaxStored: int64(room) * []int64{2 << 20, 4 << 20}[w.dice.bits(at, 6)%2], MaxStreams: 4, History: 20, HistoryAge: time.Hour,
	}
	if w.config.Faults.Restore > 0 { // a journal that was set back is known by what is remembered
		c.History, c.HistoryAge = 1000, 1000*time.Hour
	}
	return c
}

// know puts another on the list, and in the book.
func (n *node) know(other *node) {
	if _, known := n.book[other]; !known {
		n.knows = append(n.knows, other)
		n.book[other] = other.place
	}
}

// clock is what the node's clock shows.
func (n *node) clock() time.Time { return n.w.now.Add(n.skew) }

// begin starts the process: the log is replayed, and the first turn follows. It
// may die in that turn and be started again; what it then finds must be the same.
func (n *node) begin() {
	w := n.w
	n.life++
	n.inLife = w.dice.next(choice, 1000+uint64(n.index))
	n.misfortune()
	machine := n.recoverTwice()
	if machine == nil {
		return
	}
	if s := n.inLife.as(DiedRecovering); w.chance(s, w.config.Faults.Recover) {
		before := n.lasting(machine)
		n.turn = mediator.NewTurn(machine, n.log)
		n.log.crash = []crashPoint{beforeCommit, inCommit, afterCommit}[w.dice.oneOf(s, 3)]
		n.log.wrote = 0
		n.turn.Take(n.clock(), append(n.welcome(), fsm.Tick{}))
		w.strike(s, n.log.crashed || n.log.wrote > 0, "%v dies in recovery, %v", n, n.log.crash)
		n.log.stop(w.dice.oneOf(s.as(amount), 2) == 0, s)
		if machine, _ = n.recover(all); machine == nil {
			return
		}
		if after := n.lasting(machine); !reflect.DeepEqual(before, after) && len(before)+len(after) > 0 {
			w.breaks(RecoversAgain, "%v recovered\n%+v, and after a crash\n%+v", n, before, after)
		}
	}
	n.turn = mediator.NewTurn(machine, n.log)
	n.clocks, n.jumped = mediator.Clock{}, false
	n.clocks.Set(n.clock(), w.now.Sub(w.start))
	n.inbox, n.waking, n.tickAt, n.calls = nil, false, time.Time{}, map[fsm.Call]func(fsm.Answer){}
	clear(n.dials)
	clear(n.putOff)
	clear(n.carries)
	clear(n.bound)
	clear(n.tries)
	w.stamp(1, uint64(n.index), uint64(n.life))
	w.note("%v starts, life %d", n, n.life)
	n.app.begin()
	for _, view := range machine.Peers(n.clock()) {
		if view.Halt != nil {
			n.renew(w.byID[view.Peer])
		}
	}
	for _, in := range n.welcome() {
		n.post(in)
	}
	n.post(fsm.Tick{})
}

// welcome is what the allow list says at the start.
func (n *node) welcome() []fsm.Input {
	var listed []fsm.Input
	for _, other := range n.knows {
		if !n.unlisted[other] {
			listed = append(listed, fsm.Listed{Peer: other.id})
		}
	}
	return listed
}

// lasting is what a recovery must find again: every exchange but those whose
// deadline has passed, which the first turn of a life ends.
func (n *node) lasting(m *fsm.Machine) []fsm.Summary {
	return slices.DeleteFunc(m.Exchanges(), func(x fsm.Summary) bool {
		return !x.Deadline.IsZero() && !x.Deadline.After(n.clock())
	})
}

// recoverTwice recovers, and perhaps dies while it sweeps and recovers again: what it
// then finds must be the same.
func (n *node) recoverTwice() *fsm.Machine {
	w, s := n.w, n.inLife.as(DiedSweeping)
	if !w.chance(s, w.config.Faults.Recover) {
		machine, _ := n.recover(all)
		return machine
	}
	first, left := n.recover(w.dice.oneOf(s, 4))
	if first == nil {
		return nil
	}
	w.strike(s, left > 0, "%v dies while it sweeps: %d payloads are left", n, left)
	second, _ := n.recover(all)
	if second == nil {
		return nil
	}
	if before, after := n.lasting(first), n.lasting(second); !reflect.DeepEqual(before, after) && len(before)+len(after) > 0 {
		w.breaks(RecoversAgain, "%v recovered\n%+v, and after a crash in its sweep\n%+v", n, before, after)
	}
	return second
}

// all is how much a sweep deletes that isn't cut short.
const all = math.MaxInt

// recover makes a machine of the log, and sweeps so many payloads; nil when it can't
// be made. It returns how many the sweep has left.
func (n *node) recover(most int) (*fsm.Machine, int) {
	restorer := fsm.Restore(n.config)
	if err := n.log.replay(restorer.Record); err != nil {
		n.w.breaks(KeptAndTold, "%v: replay: %v", n, err)
		return nil, 0
	}
	machine := restorer.Done(n.clock())
	named, err := restorer.Numbers(n.log.numbers)
	if err != nil {
		n.w.breaks(KeptAndTold, "%v: %v", n, err)
		return nil, 0
	}
	missing, left := n.log.sweep(named, most)
	for _, number := range missing {
		n.w.breaks(NothingDeletes, "%v: payload %d is named and missing", n, number)
		return nil, 0
	}
	return machine, left
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
		w := n.w
		w.after(w.dice.within(w.dice.next(latency, uint64(n.index)), 2*time.Millisecond), func() {
			if n.life == life && n.turn != nil {
				n.waking = false
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

// wake takes one turn with all that is there.
func (n *node) wake() {
	w := n.w
	s := w.dice.next(Crashed, uint64(n.index))
	if w.chance(s, w.config.Faults.Crash) {
		n.log.crash = 1 + crashPoint(w.dice.oneOf(s, int(crashPoints)-1))
		n.dies = s
	}
	if f := s.as(SyncFailed); w.chance(f, w.config.Faults.Sync) {
		w.strike(f, n.busy(), "%v: a sync fails", n)
		if w.dice.oneOf(f, 3) == 0 {
			n.log.failed = errDisk // in the background
		}
		n.log.fail = true
	}
	inputs := n.inbox
	n.inbox = nil
	if n.take(inputs) {
		n.misfortunes(s)
	}
}

// take takes one turn, and reports whether the process has outlived it.
func (n *node) take(inputs []fsm.Input) bool {
	w := n.w
	w.result.Turns++
	w.stamp(2, uint64(n.index), uint64(len(inputs)))
	if w.config.Trace {
		for _, in := range inputs {
			w.note("%v <- %s", n, describe(in))
		}
	}
	if by := n.clocks.Set(n.clock(), w.now.Sub(w.start)); by != 0 {
		inputs = append([]fsm.Input{fsm.ClockSet{By: by}}, inputs...)
	}
	n.jumped = false
	n.log.wrote, n.log.before = 0, len(n.log.unsynced)
	out := n.turn.Take(n.clock(), inputs)
	n.did, n.log.fail = out.Actions, false
	if n.log.crashed {
		n.crash()
		return false
	}
	if !n.outdated {
		n.notePutOff(inputs, out.Actions)
		n.noteWords(inputs)
	}
	died := n.log.crash
	for i, a := range out.Actions {
		n.checkAction(a)
		if died == afterCommit || died == amidActions && i > 0 {
			n.crash()
			return false
		}
		n.act(a)
	}
	if died != nowhere {
		n.crash()
		return false
	}
	for _, a := range out.Answers {
		if done := n.calls[a.Call]; done != nil {
			delete(n.calls, a.Call)
			done(a)
		}
	}
	n.heed(out.Notices)
	if n.turn == nil {
		return false
	}
	n.checkTurn()
	n.deadline = out.Deadline
	n.armTick()
	n.app.poll()
	return true
}

// armTick sets the alarm for the machine's deadline.
func (n *node) armTick() {
	w := n.w
	if n.deadline.IsZero() {
		return
	}
	at := w.now.Add(min(max(0, n.deadline.Sub(n.clock())), time.Minute)) // as the mediator's loop looks
	if !n.tickAt.IsZero() && !at.Before(n.tickAt) {
		return
	}
	n.tickAt = at
	life := n.life
	w.after(at.Sub(w.now), func() {
		if n.life != life || n.turn == nil || !n.tickAt.Equal(at) {
			return
		}
		n.tickAt = time.Time{}
		if n.deadline.IsZero() || n.deadline.After(n.clock()) && !n.jumped {
			n.armTick() // it was put off meanwhile
			return
		}
		n.post(fsm.Tick{})
	})
}

// quiet has the node do all that is there to do, and reports whether it has
// outlived that.
func (n *node) quiet() bool {
	for len(n.inbox) > 0 || n.jumped || !n.deadline.IsZero() && !n.deadline.After(n.clock()) {
		inputs := append(n.inbox, fsm.Tick{})
		n.inbox = nil
		if !n.take(inputs) {
			return false
		}
	}
	return true
}

// alone takes a turn with one input and nothing else, once all is quiet. It
// reports whether anything was written, if the node has outlived it.
func (n *node) alone(in fsm.Input) (wrote, alive bool) {
	alive = n.quiet() && n.take([]fsm.Input{in})
	return n.log.wrote > 0, alive
}

// busy reports whether anything is under way at the node: an exchange that is
// open, or a frame or batch that a failure would hit.
func (n *node) busy() bool {
	return len(n.log.unsynced) > 0 || len(n.turn.Machine.Exchanges()) > 0
}

// crash ends the process where the log says; half of the time the power fails too.
func (n *node) crash() {
	s := n.dies
	power := n.w.dice.oneOf(s, 2) == 0
	how := "the process dies"
	if power {
		how = "the power fails"
	}
	n.w.strike(s, n.busy(), "%v: %s %v", n, how, n.log.crash)
	n.down(power, s)
}

// down is the end of a run of the process: every connection breaks.
func (n *node) down(power bool, s spot) {
	w := n.w
	w.stamp(3, uint64(n.index))
	n.turn = nil
	n.log.stop(power, s)
	for _, e := range n.ends {
		e.sever(errors.New("crashed"), false)
	}
	n.ends = nil
	if w.dice.oneOf(s.as(choice), 4) == 0 {
		n.older = n.log.copied()
	}
	w.after(50*time.Millisecond+w.dice.within(s, 5*time.Second), func() {
		if n.turn == nil {
			n.begin()
		}
	})
}
