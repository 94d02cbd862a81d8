package fsm

import (
	"fmt"
	"slices"

	"github.com/parley-p2p/parley/internal/wire"
)

// heed does what the machine asks of the P2P protocol, and checks that it may.
func (w *world) heed(a Action) {
	w.t.Helper()
	switch a := a.(type) {
	case Dial:
		if slices.Contains(w.dialing, a.Peer) {
			w.fail("%s is dialled twice at once", a.Peer)
		}
		w.dialing = append(w.dialing, a.Peer)
	case Disconnect:
		if l := w.links[a.Conn]; l != nil {
			if l.closing && !l.broke {
				w.fail("connection %d is closed twice", a.Conn)
			}
			l.closing, l.clean = true, a.Graceful
		}
	case Shun:
		for _, l := range w.links {
			if l.peer == a.Peer && !a.Until.IsZero() && !l.closing {
				l.closing, l.clean, l.broke = true, false, true
			}
		}
	case Reset:
		if l := w.links[a.Conn]; l != nil && a.Stream%2 == 0 && !slices.Contains(l.streams, a.Stream) && !slices.Contains(l.over, a.Stream) {
			l.over = append(l.over, a.Stream)
			return // all that was to be sent on it was withheld
		}
		l := w.onStream(a.Conn, a.Stream, "reset")
		if l != nil {
			w.dropStream(l, a.Stream)
		}
	case Accept:
		l := w.onStream(a.Conn, a.Stream, "accept")
		o, ok := w.offers[a.Stream]
		if l == nil {
			return
		}
		if !ok && !w.dropped[a.Stream] {
			w.fail("accepted on stream %d, where nothing was offered", a.Stream)
		}
		delete(w.offers, a.Stream)
		if ok {
			l.reading[a.Stream] = o
		}
	case Send:
		w.sends(a)
	}
}

// onStream checks that a stream exists to the P2P protocol.
func (w *world) onStream(c Conn, s Stream, what string) *link {
	l := w.links[c]
	if l == nil {
		return nil // it broke in the same turn
	}
	if !slices.Contains(l.streams, s) && !w.late[s] && !w.dropped[s] {
		w.fail("%s on stream %d of connection %d, which has ended", what, s, c)
	}
	return l
}

// sends checks that everything that a frame says is durable, and that it is one
// which the other side takes.
func (w *world) sends(a Send) {
	w.t.Helper()
	f := a.Frame
	if _, err := f.AppendTo(nil); err != nil {
		w.fail("%s is sent, which nobody takes: %v", frameName(f), err)
	}
	if f.PayloadSize() != uint64(a.Payload.Size) || f.PayloadSize() > 0 && f.Hash != a.Payload.Hash {
		w.fail("%s is sent with another payload", frameName(f))
	}
	l := w.links[a.Conn]
	if l == nil {
		return
	}
	if l.closing && a.Stream%2 == 0 && !slices.Contains(l.streams, a.Stream) {
		l.streams = append(l.streams, a.Stream)
	}
	if a.Stream%2 == 0 && !slices.Contains(l.streams, a.Stream) && !slices.Contains(l.over, a.Stream) {
		l.streams = append(l.streams, a.Stream)
	}
	w.onStream(a.Conn, a.Stream, frameName(f))
	if o := w.offers[a.Stream].Frame; (f.Kind == wire.Nack || f.Kind == wire.Reject) && f.Seq == o.Seq && (f.Of == wire.OfReply) == (o.Kind == wire.Reply) {
		delete(w.offers, a.Stream)
	}
	w.checkDurable(l, f)
	r := w.remotes[l.peer]
	switch {
	case f.Kind == wire.Hello:
		l.greeted = f.Epoch
	case f.Kind == wire.Request || f.Kind == wire.Resume || f.Kind == wire.Cancel:
		if l.greeted != f.Epoch {
			w.fail("%s of epoch %d before the HELLO of that epoch", frameName(f), f.Epoch)
		}
		r.asked = append(r.asked, a)
	case f.Kind == wire.Reply || f.Kind == wire.Reject && (f.Refusal == wire.Policy || f.Refusal == wire.TooLarge) && f.Of == wire.OfRequest:
		r.answered = append(r.answered, a)
	}
}

// checkDurable looks for what a frame says on the disk. What ended in the same
// turn is gone from it, and may be.
func (w *world) checkDurable(l *link, f wire.Frame) {
	w.t.Helper()
	disk := w.disk()
	p := disk.peer(l.peer)
	d, r := &p.dialer, &p.responder
	must := func(holds bool, what string) {
		if !holds {
			w.fail("%s is sent, and isn't durable: %s", frameName(f), what)
		}
	}
	toUs := f.Kind == wire.Welcome || f.Kind == wire.Continue || f.Kind == wire.Reply || f.Of != 0 && f.Of != wire.OfReply
	if toUs { // as responder
		y := r.open[f.Seq]
		over := r.epoch > f.Epoch || r.ended.has(f.Seq)
		switch {
		case f.Kind == wire.Welcome:
			before := w.ended[l.peer]
			must(r.epoch > f.Epoch || before.epoch < f.Epoch || !slices.ContainsFunc(before.seqs, func(seq uint64) bool { return !r.ended.has(seq) }), "what has ended")
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
		return
	}
	must(d.epoch >= f.Epoch || f.Kind == wire.Reject, "the epoch")
	if d.epoch != f.Epoch {
		return
	}
	x := disk.made[f.Tag]
	switch f.Kind {
	case wire.Hello:
		must(d.next >= f.Next, "the numbers given")
	case wire.Request, wire.Resume:
		must(x != nil && x.sent && x.seq == f.Seq || disk.history.find(Name{us, f.Tag}) != nil, "that it was sent")
		must(f.Low <= f.Seq, "low")
	case wire.Cancel:
		must(x == nil || x.outcome != 0, "the cancellation")
	case wire.Ack:
		must(d.open[f.Seq] == nil, "the outcome")
	case wire.Reject:
		must(d.open[f.Seq] == nil || d.open[f.Seq].outcome != 0 || d.open[f.Seq].name.Tag != f.Tag, "the end")
	}
}

// responds: a peer answers something that it was sent, mostly as it should.
func (w *world) responds() {
	l, ok := oneOf(w, w.open())
	if !ok {
		w.dialled()
		return
	}
	r := w.remotes[l.peer]
	d := &w.m.peer(l.peer).dialer
	at := max(0, len(r.asked)-5)
	recent := slices.Clone(r.asked[at:])
	slices.Reverse(recent)
	to, ok := oneOf(w, recent)
	if !ok {
		return
	}
	f := wire.Frame{Epoch: to.Frame.Epoch, Seq: to.Frame.Seq}
	stream := to.Stream
	if d.halt != nil && w.choose(2) == 1 {
		w.do(Renew{Peer: l.peer})
		return
	}
	kind := w.choose(32)
	if kind >= 26 && w.choose(w.honesty) > 20 { // what halts is rare
		kind -= 10
	}
	switch {
	case kind < 3:
		f.Kind, f.Seq, f.Next, f.Epoch = wire.Welcome, 0, d.next-min(d.next, 1), d.epoch
	case to.Frame.Kind == wire.Cancel && kind < 24:
		f.Kind, f.Of = wire.Ack, wire.OfCancel
	case kind < 9:
		f.Kind, f.Of, f.Hash, f.Delivered = wire.Ack, wire.OfRequest, to.Frame.Hash, kind%2 == 0
	case kind < 12 || to.Frame.Kind == wire.Resume && kind < 14:
		f.Kind = wire.Continue
		if to.Frame.Kind != wire.Resume {
			f.Kind, f.Of, f.Delay = wire.Nack, wire.OfRequest, wire.NoRoom
		}
	case kind < 22:
		size := w.size()
		f.Kind, f.Tag, f.Size, f.Hash = wire.Reply, to.Frame.Tag, uint64(size), hashOf(fmt.Sprint("reply ", size))
		if kind < 17 {
			stream = w.theirStream(l)
		}
	case kind < 26:
		f.Kind, f.Of, f.Refusal, f.Tag, f.Text = wire.Reject, wire.OfRequest, wire.Policy, to.Frame.Tag, "no"
		if kind == 24 {
			f.Refusal = wire.TooLarge
		}
		f.Hash = hashOf(f.Text)
		if kind == 25 {
			stream = w.theirStream(l)
		}
	case kind < 28:
		f.Kind, f.Of, f.Refusal = wire.Reject, wire.OfRequest, wire.Ended
	case kind == 28:
		f.Kind, f.Of, f.Refusal = wire.Reject, wire.OfRequest, wire.Mismatch
	case kind == 29:
		f.Kind, f.Of, f.Refusal, f.Known = wire.Reject, wire.OfRequest, wire.Fenced, f.Epoch+uint64(w.choose(3))
	default:
		f.Kind, f.Of, f.Delay, f.RetryAfter = wire.Nack, wire.OfCancel, wire.TooFast, second
	}
	w.brings(l, stream, w.falsified(f))
}

// asks: a peer says something as dialer, mostly as it should.
func (w *world) asks() {
	l, ok := oneOf(w, w.open())
	if !ok {
		w.connected()
		return
	}
	r := w.remotes[l.peer]
	f := wire.Frame{Epoch: r.epoch}
	stream := w.theirStream(l)
	kind := w.choose(32)
	if c := w.m.conns[l.id]; c != nil && !c.greeted && kind > 4 {
		kind %= 6
	}
	switch {
	case kind < 5:
		f.Kind, f.Next = wire.Hello, r.next
		w.hello(l, stream, f)
		return
	case kind < 21:
		f.Kind, f.Seq, f.Low = wire.Request, r.next, 1
		if kind >= 15 { // again
			f.Seq = max(1, r.next-min(r.next-1, uint64(1+w.choose(3))))
			f.Kind = wire.Resume
		} else {
			r.next++
		}
		if w.choose(3) == 1 {
			f.Kind = wire.Resume
		}
		f.Tag, f.Lane = w.theirTag(r, f.Seq), []string{"", "lane", "third"}[f.Seq%3]
		size := []int64{20, largeSize, 20, 0, 120_000}[f.Seq%5]
		f.Size, f.Hash = uint64(size), hashOf(fmt.Sprint("request ", f.Seq))
		if w.choose(4) == 1 {
			f.Low = max(1, f.Seq-min(f.Seq-1, 2))
		}
		f.Remaining = second
	case kind < 24:
		f.Kind, f.Seq = wire.Cancel, max(1, r.next-min(r.next-1, uint64(w.choose(4))))
		f.Tag = w.theirTag(r, f.Seq)
	case kind == 24:
		r.epoch, r.next = r.epoch+1, 1
		return
	default:
		at := max(0, len(r.answered)-4)
		reply, ok := oneOf(w, r.answered[at:])
		if !ok {
			return
		}
		f.Epoch, f.Seq, f.Of, f.Kind, f.Hash = reply.Frame.Epoch, reply.Frame.Seq, wire.OfReply, wire.Ack, reply.Frame.Hash
		stream = reply.Stream
		switch kind {
		case 29:
			f.Kind, f.Hash, f.Delay = wire.Nack, wire.Hash{}, wire.NoRoom
		case 30:
			f.Kind, f.Hash, f.Refusal, f.Tag = wire.Reject, wire.Hash{}, wire.Ended, reply.Frame.Tag
		case 31:
			f.Kind, f.Hash, f.Refusal, f.Tag = wire.Reject, wire.Hash{}, wire.TooLarge, reply.Frame.Tag
		}
	}
	w.brings(l, stream, w.falsified(f))
}

// theirTag is the same after an epoch was renewed, now and then.
func (w *world) theirTag(r *remote, seq uint64) wire.Tag { return tag(int(1000*(r.epoch/2) + seq)) }

func (w *world) hello(l *link, s Stream, f wire.Frame) {
	r := w.remotes[l.peer]
	var open []uint64
	for seq := max(1, r.next-min(r.next-1, 5)); seq < r.next; seq++ {
		if w.choose(3) != 1 {
			open = append(open, seq)
		}
	}
	h := hello(f.Epoch, r.next, open...)
	if !w.blocked(l, s) {
		w.do(w.arrived(l.id, s, h))
	}
}

// theirStream is one that the peer opened: an old one or a new one.
func (w *world) theirStream(l *link) Stream {
	var theirs []Stream
	for _, s := range l.streams {
		if s%2 == 1 {
			theirs = append(theirs, s)
		}
	}
	if len(theirs) > 0 && (len(theirs) > 5 || w.choose(3) == 1) {
		s, _ := oneOf(w, theirs)
		return s
	}
	s := w.stream()
	l.streams = append(l.streams, s)
	return s
}

// falsified is a frame in which now and then something is wrong.
func (w *world) falsified(f wire.Frame) wire.Frame {
	switch w.choose(w.honesty) {
	case 1:
		f.Epoch++
	case 2:
		f.Epoch = max(1, f.Epoch-1)
	case 3:
		f.Seq++
	case 4:
		f.Seq = max(1, f.Seq-1)
	case 5:
		f.Tag[3]++
	case 6:
		f.Hash[3]++
	case 7:
		f.Lane += "x"
	case 8:
		f.Seq += wire.MaxOpen
	}
	return f
}

// blocked: on a stream whose payload is being read nothing else arrives, and on
// one that has ended nothing does.
func (w *world) blocked(l *link, s Stream) bool {
	_, reading := l.reading[s]
	_, offered := w.offers[s]
	return reading || offered || !slices.Contains(l.streams, s)
}

// brings reports a frame as the P2P protocol does.
func (w *world) brings(l *link, s Stream, f wire.Frame) {
	if _, err := f.AppendTo(nil); err != nil {
		return // it would have been refused before
	}
	if w.blocked(l, s) {
		if s%2 == 1 && slices.Contains(l.over, s) && w.choose(4) == 1 {
			w.late[s] = true // it was on its way when the stream was reset
		} else {
			return
		}
	}
	if slices.Contains(w.m.ready.Actions, Action(Reset{Conn: l.id, Stream: s})) {
		w.late[s] = true
	}
	if f.PayloadSize() > wire.MaxInline && f.Kind != wire.Hello {
		o := Offered{Conn: l.id, Stream: s, Frame: f}
		w.offers[s] = o
		w.do(o)
		return
	}
	w.do(w.arrived(l.id, s, frame{f, nil}))
}

// The names of inputs and actions, for a reader.

func inputName(in Input) string {
	switch in := in.(type) {
	case Arrived:
		return fmt.Sprintf("arrived %d/%d %s epoch %d tag %x size %d", in.Conn, in.Stream, frameName(in.Frame), in.Frame.Epoch, in.Frame.Tag[12:], in.Frame.Size)
	case Offered:
		return fmt.Sprintf("offered %d/%d %s epoch %d tag %x size %d", in.Conn, in.Stream, frameName(in.Frame), in.Frame.Epoch, in.Frame.Tag[12:], in.Frame.Size)
	case Enqueue:
		text := "Enqueue"
		for _, o := range in.Requests {
			text += fmt.Sprintf(" %x to %s lane %q size %d", o.Tag[12:], o.Peer, o.Lane, o.Payload.Size)
		}
		return text
	case Cancel:
		return fmt.Sprintf("Cancel %x", in.Name.Tag[12:])
	case Commit:
		return fmt.Sprintf("Commit %x", in.Name.Tag[12:])
	case Respond:
		return fmt.Sprintf("Respond %s %x size %d", in.Name.Dialer, in.Name.Tag[12:], in.Payload.Size)
	}
	return fmt.Sprintf("%T %+v", in, in)
}

func actionName(a Action) string {
	if s, ok := a.(Send); ok {
		return fmt.Sprintf("send %d/%d %s epoch %d size %d", s.Conn, s.Stream, frameName(s.Frame), s.Frame.Epoch, s.Payload.Size)
	}
	return fmt.Sprintf("%T %+v", a, a)
}
