package simulate

import (
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// checkAction sees that what a node sends rests on what is synced, and goes to
// whom it may.
func (n *node) checkAction(a fsm.Action) {
	s, ok := a.(fsm.Send)
	if !ok || n.rogue {
		return
	}
	e := n.find(s.Conn)
	if e == nil { // it broke in the same turn
		delete(n.tries, attemptOf(s.Frame))
		return
	}
	to, f := e.other.node, s.Frame
	if n.unlisted[to] && !n.unlisting(to) {
		n.w.breaks(ListedOnly, "%v sends %v to %v, which is off its list", n, f.Kind, to)
	}
	switch f.Kind {
	case wire.Request, wire.Resume:
		x, durable := n.log.recorded(fsm.MadeKey(fsm.Name{Dialer: n.id, Tag: f.Tag}))
		d, numbered := n.log.recorded(fsm.DialerKey(to.id))
		if !durable || !x.Sent || !numbered || d.Epoch < f.Epoch {
			n.w.breaks(SyncedFirst, "%v sends %v of %x before that, and its epoch, is synced", n, f.Kind, f.Tag[:3])
		}
		n.checkPutOff(s)
		n.checkPatience(s)
	case wire.Reply:
		n.checkPatience(s)
		y, durable := n.log.recorded(fsm.AskedKey(fsm.Name{Dialer: to.id, Tag: f.Tag}))
		if _, stored := n.log.payloads[s.Payload.Number]; (!durable || y.Responder != fsm.Replying || !stored && f.Size > 0) && !n.overSince(to, f.Tag) {
			n.w.breaks(SyncedFirst, "%v sends the reply of %x before it is synced", n, f.Tag[:3])
		}
		n.checkAnswer(to, f)
	case wire.Reject:
		if f.Of == wire.OfRequest && (f.Refusal == wire.Policy || f.Refusal == wire.TooLarge) {
			if _, durable := n.log.recorded(fsm.AskedKey(fsm.Name{Dialer: to.id, Tag: f.Tag})); !durable && !n.overSince(to, f.Tag) {
				n.w.breaks(SyncedFirst, "%v refuses %x before that is synced", n, f.Tag[:3])
			}
			n.checkAnswer(to, f)
		}
	case wire.Welcome:
		if n.log.unsyncedOf(to.id) {
			n.w.breaks(SyncedFirst, "%v welcomes %v before what that has ended is synced", n, to)
		}
	case wire.Ack:
		n.checkAck(to, f)
	}
}

// overSince reports whether an exchange has ended in the turn in which something of
// it was to be sent.
func (n *node) overSince(dialer *node, tag wire.Tag) bool {
	x, _ := n.turn.Machine.Exchange(fsm.Name{Dialer: dialer.id, Tag: tag})
	return !x.Ended.IsZero()
}

// unlisting reports whether the news that a peer is off the list is on its way.
func (n *node) unlisting(other *node) bool {
	for _, in := range n.inbox {
		if u, ok := in.(fsm.Unlisted); ok && u.Peer == other.id {
			return true
		}
	}
	return false
}

// checkAnswer sees that an exchange has one answer. The operator may drop it, and
// a journal that was lost knows of none.
func (n *node) checkAnswer(to *node, f wire.Frame) {
	r := n.w.made[f.Tag]
	if r == nil || r.dropped || !n.w.clean(n, to) {
		return
	}
	k := exchange{n.index, fsm.Name{Dialer: to.id, Tag: f.Tag}}
	first, answered := n.w.answers[k]
	if !answered {
		n.w.answers[k] = f.Hash
	} else if first != f.Hash {
		n.w.breaks(OneAnswer, "%v answers %x with %x and with %x", n, f.Tag[:3], first[:3], f.Hash[:3])
	}
}

// checkAck sees that what is acknowledged is synced: a request's record, unless
// it has ended since; a reply with all else of its turn.
func (n *node) checkAck(to *node, f wire.Frame) {
	switch f.Of {
	case wire.OfRequest:
		tag := n.asked[number{to.id, f.Epoch, f.Seq}]
		name := fsm.Name{Dialer: to.id, Tag: tag}
		_, durable := n.log.recorded(fsm.AskedKey(name))
		if y, _ := n.turn.Machine.Exchange(name); !durable && y.Ended.IsZero() && !to.rogue {
			n.w.breaks(SyncedFirst, "%v acknowledges %x before it is synced", n, tag[:3])
		}
	case wire.OfReply:
		if len(n.log.unsynced) > 0 {
			n.w.breaks(SyncedFirst, "%v acknowledges the reply %d of %v before it is synced", n, f.Seq, to)
		}
	case wire.OfCancel:
		if !n.log.hasEnded(to.id, f.Epoch, f.Seq) {
			n.w.breaks(SyncedFirst, "%v acknowledges that %d of %v is over before that is synced", n, f.Seq, to)
		}
	}
}

// checkTurn is what is looked at after every turn.
func (n *node) checkTurn() {
	if n.turn.Failed() != nil {
		return
	}
	n.app.checkMade()
	// All of the machine takes long: in every turn only where a run is looked into.
	if n.w.config.Only != nil || n.w.result.Turns%checkEvery == 0 {
		n.checkBounds()
	}
}

// checkEvery is how many turns of all nodes go by between two looks at everything
// that a machine holds.
const checkEvery = 16

// checkBounds sees that no machine contradicts itself, and that its limits hold.
func (n *node) checkBounds() {
	m, c := n.turn.Machine, &n.config
	if what := m.Broken(); what != "" {
		n.w.breaks(Bounded, "%v: %s", n, what)
	}
	var made, got holding
	to, of := map[fsm.Peer]holding{}, map[fsm.Peer]holding{}
	for _, x := range m.Exchanges() {
		switch {
		case x.Dialer != 0:
			made.add(0)
			h := to[x.Peer]
			h.add(0)
			to[x.Peer] = h
		default:
			bytes := x.RequestSize
			if x.Responder > fsm.Delivered {
				bytes = 0 // of requests that are answered nothing is kept
			}
			got.add(bytes)
			h := of[x.Peer]
			h.add(bytes)
			of[x.Peer] = h
		}
	}
	reserve := holding{len(n.knows), int64(len(n.knows)) * c.MaxMessageSize} // one of each peer
	if made.count > c.MaxQueued || got.count > c.MaxOpen+reserve.count || got.bytes > c.MaxStored+reserve.bytes {
		n.w.breaks(Bounded, "%v has %d exchanges of its own, and %d of others with %d bytes", n, made.count, got.count, got.bytes)
	}
	for _, other := range n.knows {
		mine, theirs := to[other.id], of[other.id]
		if mine.count > c.MaxQueuedPerPeer || theirs.count > c.MaxOpenPerPeer || theirs.count > 1 && theirs.bytes > max(c.MaxStoredPerPeer, c.MaxMessageSize) {
			n.w.breaks(Bounded, "%v has %d exchanges for %v, and %d of it with %d bytes", n, mine.count, other, theirs.count, theirs.bytes)
		}
	}
}

// holding is how much is held of something that has a limit.
type holding struct {
	count int
	bytes int64
}

func (h *holding) add(bytes int64) {
	h.count++
	h.bytes += bytes
}

// letGo sees, when the record of a peer's exchange is deleted for good, that its
// dialer needs nothing of it any more.
func (n *node) letGo(key []byte) {
	var tag wire.Tag
	rest := key[1+copy(tag[:], key[1:]):]
	r := n.w.made[tag]
	if r == nil || r.from.id != fsm.Peer(rest) || !n.w.clean(n, r.from) || r.dropped {
		return
	}
	if x, there := r.from.log.recorded(fsm.MadeKey(fsm.Name{Dialer: r.from.id, Tag: tag})); there && !x.Over {
		n.w.breaks(AnswersKept, "%v lets go of %x, which is open at %v", n, tag[:3], r.from)
	}
}

// dials are those that failed one after the other.
type dials struct {
	failed int
	last   time.Time
}

// checkDial sees that a peer that can't be reached is dialled less and less.
func (n *node) checkDial(to fsm.Peer) {
	d := n.dials[to]
	least := n.config.RetryMin << min(max(d.failed-1, 0), 10)
	if gap := n.w.now.Sub(d.last); d.failed > 0 && gap < min(least, n.config.RetryMax)/2 && !n.rogue {
		n.w.breaks(RetriesDecay, "%v dials %s again %v after %d failures", n, to, gap, d.failed)
	}
	d.last = n.w.now
	n.dials[to] = d
}

// putOff is until when a peer doesn't want to be asked again for a request, on a
// connection.
type putOff struct {
	conn  fsm.Conn
	until time.Time
}

// notePutOff notes what NACKs ask for that came in a turn, on the streams that the
// requests are bound to: what comes on others is ignored.
func (n *node) notePutOff(inputs []fsm.Input, actions []fsm.Action) {
	for _, in := range inputs {
		a, ok := in.(fsm.Arrived)
		if !ok || a.Frame.Kind != wire.Nack || a.Frame.Of != wire.OfRequest {
			continue
		}
		tag, some := n.carries[a.Stream]
		if !some || n.bound[tag] != a.Stream || n.half(a.Conn, a.Stream) == nil || resets(actions, a.Stream) {
			continue
		}
		n.putOff[tag] = putOff{a.Conn, n.w.now.Add(min(a.Frame.RetryAfter, n.config.PollMax))}
	}
}

func resets(actions []fsm.Action, stream fsm.Stream) bool {
	for _, a := range actions {
		if r, ok := a.(fsm.Reset); ok && r.Stream == stream {
			return true
		}
	}
	return false
}

// checkPutOff sees that a request isn't sent again sooner than its peer wants.
func (n *node) checkPutOff(s fsm.Send) {
	tag := s.Frame.Tag
	if p := n.putOff[tag]; p.conn == s.Conn && n.w.now.Before(p.until) {
		n.w.breaks(RetriesDecay, "%v sends %v of %x %v before its peer wants it", n, s.Frame.Kind, tag[:3], p.until.Sub(n.w.now))
	}
	n.carries[s.Stream], n.bound[tag] = tag, s.Stream
}
