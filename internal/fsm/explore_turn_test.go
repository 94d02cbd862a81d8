package fsm

import (
	"slices"

	"github.com/parley-p2p/parley/internal/wire"
)

// The calls of the applications, by what they ask: the exchange is added.
const (
	enqueueCall Call = 10 * (iota + 1)
	respondCall
	refuseCall
	commitCall
	cancelCall
	renewCall
)

// turn is what a mediator does with inputs, in the order of Ready: what isn't
// written when a node crashes in the middle of it is lost with the inputs, and
// what isn't sent is as good as lost on its way. So a crash between two turns,
// with every choice of what of the journal and of the frames is lost, is a crash
// at every point of a turn.
func (d *duo) turn(i int, inputs ...Input) {
	h := d.sides[i]
	if !d.own[i] {
		panic("a half that is shared is changed")
	}
	for _, in := range inputs {
		if d.trace != nil {
			d.note("  %s %s", d.names[i], inputName(in))
		}
		h.m.Step(h.now, in)
	}
	r := h.m.Ready(h.now)
	h.deadline = r.Deadline
	h.commit(r.Batch)
	for _, a := range r.Actions {
		if d.trace != nil {
			d.note("      %s: %s", d.names[i], actionName(a))
		}
		d.heed(i, a)
	}
	for _, a := range r.Answers {
		d.answered(i, a)
	}
	for _, n := range r.Notices {
		d.note("      %s: notice %v: %s", d.names[i], n.Kind, n.Detail)
		d.noticed(i, n)
	}
}

// heed does what a machine asks of the P2P protocol.
func (d *duo) heed(i int, a Action) {
	switch a := a.(type) {
	case Dial:
		if d.sides[i].dialing {
			d.fail("%s dials twice at once", d.names[i])
		}
		d.sides[i].dialing = true
	case Send:
		d.says(i, &a.Frame)
		d.send(i, &a)
	case Reset:
		if l := d.line(a.Conn); l != nil {
			l.reset(i, a.Stream)
		}
	case Disconnect:
		if l := d.line(a.Conn); l != nil {
			l.close(i, a.Graceful)
		}
	case Shun:
		d.sides[i].shuns = a.Until
		for _, l := range d.lines {
			if !a.Until.IsZero() && l.closing[i] != atOnce {
				l.close(i, false)
			}
		}
	default:
		d.fail("%s has no occasion for %s", d.names[i], actionName(a))
	}
}

func (d *duo) line(c Conn) *cable {
	for _, l := range d.lines {
		if l.id == c {
			return l
		}
	}
	return nil
}

func (l *cable) flow(side int, s Stream) *flow {
	for _, f := range l.flows {
		if f.at(side) == s {
			return f
		}
	}
	return nil
}

// send puts a frame on its way, unless nobody would get it.
func (d *duo) send(i int, a *Send) {
	l := d.line(a.Conn)
	if l == nil || !l.there[i] {
		return // it broke in the same turn
	}
	f := l.flow(i, a.Stream)
	if f == nil && a.Stream%2 == 0 && l.closing[i] == staying {
		f = &flow{number: a.Stream, opener: i}
		f.over[1-i] = !l.there[1-i] || l.broken
		l.flows = append(l.flows, f)
	}
	if f == nil || f.over[i] || l.broken || !l.there[1-i] || l.closing[1-i] != staying {
		return
	}
	if f.over[1-i] && d.left.late == 0 {
		return
	}
	f.queue[1-i] = append(slices.Clip(f.queue[1-i]), a)
}

// reset ends a stream for its side at once. What comes on it is late.
func (l *cable) reset(side int, s Stream) {
	f := l.flow(side, s)
	if f == nil || f.over[side] {
		return
	}
	f.over[side], f.ended[side] = true, false
	if !f.over[1-side] {
		f.ended[1-side] = true
	}
}

// close ends a connection for its side. In order, the other side is told of the
// streams' ends first, behind what is on its way there.
func (l *cable) close(side int, graceful bool) {
	if !graceful {
		l.closing[side] = atOnce
		return
	}
	l.closing[side] = gracefully
	for _, f := range l.flows {
		if !f.over[1-side] {
			f.ended[1-side] = true
		}
	}
}

// settle takes out what can't have any consequence any more.
func (d *duo) settle() {
	for _, l := range d.lines {
		for i := range 2 {
			heard := l.there[i] && l.closing[i] == staying
			for _, f := range l.flows {
				if !heard || f.over[i] && d.left.late == 0 {
					f.queue[i] = nil
				}
				if f.ended[i] && len(f.queue[i]) == 0 && (!heard || d.sides[i].m.streams[f.at(i)] == nil) {
					f.ended[i], f.over[i] = false, true
				}
				f.over[i] = f.over[i] || !l.there[i]
			}
		}
		l.flows = slices.DeleteFunc(l.flows, func(f *flow) bool {
			return f.over[0] && f.over[1] && len(f.queue[0])+len(f.queue[1]) == 0
		})
	}
	d.lines = slices.DeleteFunc(d.lines, func(l *cable) bool { return !l.there[0] && !l.there[1] })
}

// answered is an application's call that is settled.
func (d *duo) answered(i int, a Answer) {
	d.note("      %s: answer to call %d: %v", d.names[i], a.Call, a.Err)
	if a.Err != nil {
		return
	}
	e := int(a.Call % 10)
	ask := &d.asks[e]
	switch a.Call - Call(e) {
	case enqueueCall:
		ask.made = true
	case respondCall:
		ask.answered, ask.hand = 1, false
	case refuseCall:
		ask.answered, ask.hand = 2, false
	case commitCall:
		ask.committed = durably
	case cancelCall:
		ask.cancelled = true
	case renewCall:
		d.renewed[i] = true
	}
}

// noticed: two honest nodes never blame each other, and nothing seems to be lost
// unless a journal was.
func (d *duo) noticed(i int, n Notice) {
	if d.plan.loose {
		d.blamed = d.blamed || n.Kind == Violation
		return
	}
	switch n.Kind {
	case Violation:
		d.fail("%s blames %s, which is honest: %s", d.names[i], d.names[1-i], n.Detail)
	case PeerFenced, JournalRolledBack, PeerMismatch, PeerDiffers, RecordContradicts, PeerLostJournal:
		if d.astray == [2]bool{} {
			d.fail("%s is told of %v, and no journal was lost: %s", d.names[i], n.Kind, n.Detail)
		}
	case JournalTrouble, PeerLimited:
		if !d.sides[i].full {
			d.fail("%s is told of %v: %s", d.names[i], n.Kind, n.Detail)
		}
	default:
		d.fail("%s is told of %v: %s", d.names[i], n.Kind, n.Detail)
	}
}

// says checks that what a frame says is on the disk of the side that sends it.
func (d *duo) says(i int, f *wire.Frame) {
	h := d.sides[i]
	disk := h.m
	if len(h.pending) > 0 {
		var err error
		if disk, _, err = h.durable.restored(h.m.config, h.now); err != nil {
			d.fail("%s: a record can't be read: %v", d.names[i], err)
			return
		}
	}
	if what := undurable(disk, h.m, d.names[1-i], f); what != "" {
		d.fail("%s sends %s, and isn't durable: %s", d.names[i], frameName(*f), what)
	}
}

// undurable is what a frame to a peer says that isn't on the disk; empty when all is.
func undurable(disk, live *Machine, to Peer, f *wire.Frame) (what string) {
	must := func(holds bool, this string) {
		if !holds {
			what = this
		}
	}
	p := disk.peer(to)
	if f.Kind == wire.Welcome || f.Kind == wire.Continue || f.Kind == wire.Reply || f.Of != 0 && f.Of != wire.OfReply {
		undurableResponder(p, f, live, must)
		return what
	}
	side := &p.dialer
	must(side.epoch >= f.Epoch || f.Kind == wire.Reject, "the epoch")
	if side.epoch != f.Epoch {
		return what
	}
	x := disk.made[f.Tag]
	switch f.Kind {
	case wire.Hello:
		must(side.next >= f.Next, "the numbers given")
	case wire.Request, wire.Resume:
		must(x != nil && x.sent && x.seq == f.Seq || disk.history.find(Name{disk.config.Self, f.Tag}) != nil, "that it was sent")
	case wire.Cancel:
		must(x == nil || x.outcome != 0, "the cancellation")
	case wire.Ack:
		must(side.open[f.Seq] == nil, "the outcome")
	case wire.Reject:
		open := side.open[f.Seq]
		must(open == nil || open.outcome != 0 || open.name.Tag != f.Tag, "the end")
	}
	return what
}

func undurableResponder(p *peer, f *wire.Frame, live *Machine, must func(bool, string)) {
	r := &p.responder
	y := r.open[f.Seq]
	over := r.epoch > f.Epoch || r.ended.has(f.Seq)
	switch {
	case f.Kind == wire.Welcome:
		for _, y := range r.open {
			now := live.peer(p.id).responder.open[y.seq]
			must(now != nil || r.epoch != f.Epoch, "what has ended")
		}
	case f.Kind == wire.Ack && f.Of == wire.OfRequest:
		must(over || y != nil && y.payload.Hash == f.Hash, "the request")
	case f.Kind == wire.Ack && f.Of == wire.OfCancel:
		must(over, "the end")
	case f.Kind == wire.Reply:
		must(over || y != nil && y.state == Replying && y.reply.Hash == f.Hash || y != nil && y.state == Refused, "the reply")
	case f.Kind == wire.Reject && (f.Refusal == wire.Policy || f.Refusal == wire.TooLarge):
		must(over || y != nil && (y.answerHash() == f.Hash || y.state == Refused), "the rejection")
	case f.Kind == wire.Reject && f.Refusal == wire.Fenced:
		must(r.epoch >= f.Known && f.Known > f.Epoch, "the epoch")
	}
}
