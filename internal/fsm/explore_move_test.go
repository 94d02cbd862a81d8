package fsm

import (
	"fmt"
	"slices"
	"time"
)

// move is one thing that can happen in a state.
type move struct {
	kind  moveKind
	side  int8
	line  int8 // which of the state's connections
	flow  int8 // which of the connection's streams
	which int8 // which exchange, or how many batches are kept
}

type moveKind uint8

const (
	// What the applications and the operators do.
	makeRequest moveKind = iota
	takeEvent
	giveAnswer
	giveRefusal
	commitOutcome
	cancelRequest
	renewEpoch
	hangUp
	// What the network does.
	dialSucceeds
	dialFails
	frameArrives
	frameArrivesLate
	frameIsLost // the stream's end, with what is on its way
	twoArrive
	streamEnds
	streamBreaks
	connectionEnds
	connectionBreaks
	// What time and the machine below do.
	timerFires
	diskFills
	diskHasRoom
	crash
	crashJournalLost
	crashJournalSetBack
	backUp
	// Turns of two inputs.
	answerAndFrame
	cancelAndFrame
	moveKinds
)

var moveNames = [moveKinds]string{
	"makes request", "takes an event", "answers", "refuses", "commits", "cancels", "renews the epoch", "hangs up",
	"dial succeeds", "dial fails", "a frame arrives", "a frame arrives late", "a frame is lost with its stream", "two frames arrive at once",
	"a stream ends", "a stream breaks", "a connection ends", "a connection breaks",
	"the first timer fires", "the disk is full", "the disk has room", "crashes", "crashes and its journal is lost", "crashes and its journal is set back",
	"its journal is backed up", "answers as a frame arrives", "cancels as a frame arrives",
}

func (mv move) String() string {
	return fmt.Sprintf("%s: %s (connection %d, stream %d, %d)", halves[mv.side], moveNames[mv.kind], mv.line, mv.flow, mv.which)
}

// moves is all that can happen in a state, always in the same order.
func (d *duo) moves(all []move) []move {
	for i := range d.sides {
		all = d.movesOfApplication(all, i)
		all = d.movesOfNode(all, i)
	}
	for at, l := range d.lines {
		if d.left.breaks > 0 && !l.broken {
			all = append(all, move{kind: connectionBreaks, line: int8(at)})
		}
		for i := range d.sides {
			all = d.movesOfLine(all, l, int8(at), i)
		}
	}
	return all
}

func (d *duo) movesOfApplication(all []move, i int) []move {
	m := d.sides[i].m
	add := func(kind moveKind, e int) { all = append(all, move{kind: kind, side: int8(i), which: int8(e)}) }
	if m.hasEvent() {
		add(takeEvent, 0)
	}
	making := m.peers[d.names[1-i]].dialer.halt == nil && !m.room.full // else it would be refused
	for e, of := range d.plan.asks {
		ask := &d.asks[e]
		if of.dialer != i {
			if ask.hand {
				add(giveAnswer, e)
				if d.left.refusals > 0 {
					add(giveRefusal, e)
				}
			}
			continue
		}
		if !ask.made {
			if making {
				add(makeRequest, e)
			}
			making = false
			continue
		}
		x := m.made[tag(e)]
		if ask.told != 0 && x != nil && !x.committed {
			add(commitOutcome, e)
		}
		if d.left.cancels > 0 && x != nil && x.outcome == 0 {
			add(cancelRequest, e)
		}
	}
	if d.left.renewals > 0 && m.peers[d.names[1-i]].dialer.halt != nil {
		add(renewEpoch, 0)
	}
	if d.left.hangups > 0 && m.peers[d.names[1-i]].usable() != nil {
		add(hangUp, 0)
	}
	return all
}

// hasEvent reports whether Deliver has anything to give.
func (m *Machine) hasEvent() bool {
	return m.outbox.turns.Len() > 0 || slices.ContainsFunc(m.outbox.again, func(y *inbound) bool { return y.again })
}

func (d *duo) movesOfNode(all []move, i int) []move {
	h := d.sides[i]
	add := func(kind moveKind, which int) { all = append(all, move{kind: kind, side: int8(i), which: int8(which)}) }
	if h.dialing {
		add(dialSucceeds, 0)
		if d.left.dialFailures > 0 {
			add(dialFails, 0)
		}
	}
	if d.left.timers[i] > 0 && !h.deadline.IsZero() {
		add(timerFires, 0)
	}
	if h.full {
		add(diskHasRoom, 0)
	} else if d.left.full > 0 {
		add(diskFills, 0)
	}
	if d.left.crashes[i] > 0 {
		for kept := range len(h.pending) + 1 {
			add(crash, kept)
		}
		if d.left.losses[i] > 0 {
			add(crashJournalLost, 0)
		}
	}
	if d.left.setbacks[i] > 0 {
		if h.backup == nil && len(h.durable) > 0 {
			add(backUp, 0)
		} else if h.backup != nil && d.left.crashes[i] > 0 {
			add(crashJournalSetBack, 0)
		}
	}
	return all
}

func (d *duo) movesOfLine(all []move, l *cable, at int8, i int) []move {
	if !l.there[i] {
		return all
	}
	add := func(kind moveKind, flow int) {
		all = append(all, move{kind: kind, side: int8(i), line: at, flow: int8(flow)})
	}
	for n, f := range l.flows {
		switch waiting := len(f.queue[i]); {
		case waiting > 0 && f.over[i]:
			add(frameArrivesLate, n)
			add(frameIsLost, n)
		case waiting > 0:
			add(frameArrives, n)
			if waiting > 1 && d.plan.batches {
				add(twoArrive, n)
			}
			all = d.movesOfTwo(all, move{side: int8(i), line: at, flow: int8(n)})
			if f.ended[i] && l.closing[1-i] != gracefully {
				add(frameIsLost, n)
			}
		case f.ended[i]:
			add(streamEnds, n)
		}
		if d.left.ends > 0 && i == f.opener && !f.over[0] && !f.over[1] && !f.ended[0] && !f.ended[1] && !l.broken {
			add(streamBreaks, n)
		}
	}
	if l.over(i) {
		add(connectionEnds, 0)
	}
	return all
}

// movesOfTwo are those of a frame and a word of the application in one turn.
func (d *duo) movesOfTwo(all []move, mv move) []move {
	if !d.plan.batches {
		return all
	}
	for e, of := range d.plan.asks {
		mv.which = int8(e)
		if of.dialer != int(mv.side) && d.asks[e].hand {
			mv.kind = answerAndFrame
			all = append(all, mv)
		}
		if x := d.sides[mv.side].m.made[tag(e)]; of.dialer == int(mv.side) && d.left.cancels > 0 && x != nil && x.outcome == 0 {
			mv.kind = cancelAndFrame
			all = append(all, mv)
		}
	}
	return all
}

// over reports whether a side may be told that a connection has ended: it broke,
// or either side has closed it. Closed in order by the other, all that is on its
// way comes first; by this one, the other has read all that went there, of which
// the last frame of a stream may wait for its machine.
func (l *cable) over(i int) bool {
	switch {
	case l.broken || l.closing[i] == atOnce || l.closing[1-i] == atOnce:
		return true
	case l.clean:
		return !slices.ContainsFunc(l.flows, func(f *flow) bool { return len(f.queue[i]) > 0 })
	case l.closing[i] == gracefully:
		return !slices.ContainsFunc(l.flows, func(f *flow) bool { return len(f.queue[1-i]) > 1 })
	}
	return !l.there[1-i]
}

// after is the state that follows from a move.
func (d *duo) after(mv move, cl *cloner) *duo {
	n := d.copied()
	n.note("%v", mv)
	n.does(mv, cl)
	n.settle()
	n.own = [2]bool{}
	return n
}

func (d *duo) does(mv move, cl *cloner) {
	i, e := int(mv.side), int(mv.which)
	switch mv.kind {
	case connectionBreaks:
		d.left.breaks--
		d.lines[mv.line].broken = true
		return
	case frameIsLost:
		d.lines[mv.line].flows[mv.flow].queue[i] = nil
		return
	case streamBreaks:
		d.left.ends--
		f := d.lines[mv.line].flows[mv.flow]
		f.ended = [2]bool{true, true}
		return
	}
	h := d.half(i, cl)
	switch mv.kind {
	case makeRequest:
		d.turn(i, d.request(e))
	case takeEvent:
		d.take(i)
	case giveAnswer:
		d.turn(i, d.answer(e))
	case giveRefusal:
		d.left.refusals--
		d.turn(i, Refuse{Call: refuseCall + Call(e), Name: d.name(e), Reason: "no"})
	case commitOutcome:
		d.commits(i, e)
	case cancelRequest:
		d.left.cancels--
		d.turn(i, Cancel{Call: cancelCall + Call(e), Name: d.name(e)})
	case renewEpoch:
		d.left.renewals--
		d.turn(i, Renew{Call: renewCall, Peer: d.names[1-i]})
	case hangUp:
		d.left.hangups--
		d.turn(i, Hangup{Peer: d.names[1-i]})
	case dialSucceeds:
		d.connect(i, cl)
	case dialFails:
		d.left.dialFailures--
		h.dialing = false
		d.turn(i, DialFailed{Peer: d.names[1-i], Err: errAbsent})
	case frameArrives:
		d.turn(i, d.frame(mv))
	case frameArrivesLate:
		d.left.late--
		d.turn(i, d.frame(mv))
	case twoArrive:
		d.turn(i, d.frame(mv), d.frame(mv))
	case answerAndFrame:
		d.turn(i, d.answer(e), d.frame(mv))
	case cancelAndFrame:
		d.left.cancels--
		d.turn(i, Cancel{Call: cancelCall + Call(e), Name: d.name(e)}, d.frame(mv))
	case streamEnds:
		l := d.lines[mv.line]
		f := l.flows[mv.flow]
		f.ended[i], f.over[i] = false, true
		d.turn(i, Closed{Conn: l.id, Stream: f.at(i)})
	case connectionEnds:
		d.disconnect(i, d.lines[mv.line])
	case timerFires:
		d.left.timers[i]--
		d.tick(i)
	case diskFills, diskHasRoom:
		h.full = mv.kind == diskFills
		if h.full {
			d.left.full--
		}
		h.m.SetFull(h.now, h.full)
		d.turn(i)
	case backUp:
		h.backup = h.durable
	case crash, crashJournalLost, crashJournalSetBack:
		d.crash(i, mv)
	}
}

func (d *duo) request(e int) Input {
	of := d.plan.asks[e]
	o := Outgoing{Peer: d.names[1-of.dialer], Tag: tag(e), Lane: of.lane, Dialable: true, Payload: d.payload(requestOf(e))}
	if of.deadline > 0 {
		o.Deadline = d.sides[of.dialer].now.Add(of.deadline)
	}
	return Enqueue{Call: enqueueCall + Call(e), Requests: []Outgoing{o}}
}

func (d *duo) answer(e int) Input {
	return Respond{Call: respondCall + Call(e), Name: d.name(e), Payload: d.payload(replyOf(e))}
}

// commits: of every second exchange the application doesn't wait for the commit,
// and so may be told again.
func (d *duo) commits(i, e int) {
	if e%2 == 0 {
		d.turn(i, Commit{Call: commitCall + Call(e), Name: d.name(e)})
		return
	}
	d.asks[e].committed = max(d.asks[e].committed, byTheWay)
	d.turn(i, Commit{Name: d.name(e)})
}

// connect is a dial that succeeds: both sides hear of it.
func (d *duo) connect(i int, cl *cloner) {
	d.sides[i].dialing = false
	if other := d.sides[1-i]; other.shuns.After(other.now) {
		d.turn(i, DialFailed{Peer: d.names[1-i], Err: errAbsent})
		return
	}
	d.half(1-i, cl)
	d.conns++
	d.lines = append(d.lines, &cable{id: d.conns, dialer: i, there: [2]bool{true, true}})
	d.turn(i, Connected{Conn: d.conns, Peer: d.names[1-i], Dialed: true, Address: string(d.names[1-i])})
	d.turn(1-i, Connected{Conn: d.conns, Peer: d.names[i], Address: string(d.names[i])})
}

// frame takes the next frame of a stream from its way.
func (d *duo) frame(mv move) Input {
	i, l := int(mv.side), d.lines[mv.line]
	f := l.flows[mv.flow]
	s := f.queue[i][0]
	f.queue[i] = f.queue[i][1:]
	in := Arrived{Conn: l.id, Stream: f.at(i), Frame: s.Frame}
	switch {
	case s.Payload.Inline != nil:
		in.Payload = s.Payload
	case s.Payload.Size > 0:
		in.Payload = d.payload(s.Frame.Hash)
		in.Payload.Size, in.Payload.Inline = s.Payload.Size, make([]byte, s.Payload.Size)
	}
	return in
}

// disconnect tells a side that a connection is over. An end by the other side
// looks orderly to one that has no streams on it left.
func (d *duo) disconnect(i int, l *cable) {
	in := Disconnected{Conn: l.id}
	switch {
	case l.closing[i] == gracefully && !l.broken && l.there[1-i]:
		in.Clean, l.clean = true, true
	case l.closing[i] != staying:
	case slices.ContainsFunc(l.flows, func(f *flow) bool { return !f.over[i] }):
		in.Err = errBroken
	}
	l.there[i] = false
	d.turn(i, in)
}

func (d *duo) tick(i int) {
	h := d.sides[i]
	if h.deadline.After(h.now) {
		h.now = h.deadline
	}
	d.note("  %s: it is %v", d.names[i], h.now.Sub(morning))
	d.turn(i, Tick{})
}

// crash ends a process; the next one begins with what is left of the journal.
func (d *duo) crash(i int, mv move) {
	h := d.sides[i]
	d.left.crashes[i]--
	switch mv.kind {
	case crash:
		h.durable = h.written(int(mv.which))
	case crashJournalLost:
		d.left.losses[i]--
		h.durable = nil
	case crashJournalSetBack:
		d.left.setbacks[i]--
		h.durable = h.backup
	}
	h.pending = nil
	if mv.kind != crash {
		d.astray[i] = true
		h.now = h.now.Add(second) // nobody restores a journal in no time
		if d.plan.clockBack {
			h.now = h.now.Add(-time.Hour)
		}
	}
	for _, l := range d.lines {
		if l.there[i] {
			l.there[i], l.broken = false, true
			for _, f := range l.flows {
				f.over[i], f.ended[i] = true, false
			}
		}
	}
	d.forget(i)
	d.restart(i)
}

// forget: the application of a process that has ended knows nothing that it
// didn't keep.
func (d *duo) forget(i int) {
	for e, of := range d.plan.asks {
		ask := &d.asks[e]
		if of.dialer == i {
			ask.told = 0
		} else {
			ask.given, ask.hand = min(ask.given, 1), false
		}
	}
}

func (d *duo) restart(i int) {
	h := d.sides[i]
	m, _, err := h.durable.restored(h.m.config, h.now)
	if err != nil {
		d.fail("%s: a record can't be read after a crash: %v", d.names[i], err)
		return
	}
	m.lastStream = h.m.lastStream // so that a number stays one stream's, for a reader
	h.m, h.dialing = m, false
	if h.full {
		m.SetFull(h.now, true)
	}
	d.turn(i)
	d.turn(i, Listed{Peer: d.names[1-i]})
}
