package simulate

import (
	"fmt"
	"strings"
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
	if e == nil {
		return
	}
	to, f := e.other.node, s.Frame
	if n.unlisted[to] && !n.unlisting(to) {
		n.w.breaks(ListedOnly, "%v sends %v to %v, which is off its list", n, f.Kind, to)
	}
	switch f.Kind {
	case wire.Request, wire.Resume:
		if _, durable := n.log.records["o"+string(f.Tag[:])]; !durable {
			n.w.breaks(SyncedFirst, "%v sends %v of %x before it is synced", n, f.Kind, f.Tag[:3])
		}
		n.checkPutOff(s)
	case wire.Reply:
		if _, durable := n.log.payloads[s.Payload.Number]; !durable && f.Size > 0 {
			n.w.breaks(SyncedFirst, "%v sends the reply of %x before it is synced", n, f.Tag[:3])
		}
		n.checkAnswer(to, f)
	case wire.Reject:
		if f.Of == wire.OfRequest && (f.Refusal == wire.Policy || f.Refusal == wire.TooLarge) {
			n.checkAnswer(to, f)
		}
	case wire.Ack:
		n.checkAck(to, f)
	}
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
	if r == nil || r.maybeDropped || !n.w.clean(n, to) {
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
		_, durable := n.log.records["i"+string(tag[:])+string(to.id)]
		if y, _ := n.turn.Machine.Exchange(fsm.Name{Dialer: to.id, Tag: tag}); !durable && y.Ended.IsZero() && !to.rogue {
			n.w.breaks(SyncedFirst, "%v acknowledges %x before it is synced", n, tag[:3])
		}
	case wire.OfReply:
		if len(n.log.unsynced) > 0 {
			n.w.breaks(SyncedFirst, "%v acknowledges the reply %d of %v before it is synced", n, f.Seq, to)
		}
	case wire.OfCancel:
		if n.log.unsyncedOf(to.id) {
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
	// All of the machine takes long: every turn of a short run, else now and then.
	if n.w.result.Turns%checkEvery == 0 {
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
	made, got := 0, 0
	of := map[fsm.Peer]int{}
	for _, x := range m.Exchanges() {
		if x.Dialer != 0 {
			made++
		} else {
			got++
			of[x.Peer]++
		}
	}
	if made > c.MaxQueued || got > c.MaxOpen+len(n.knows) {
		n.w.breaks(Bounded, "%v has %d exchanges of its own and %d of others", n, made, got)
	}
	for peer, open := range of {
		if open > c.MaxOpenPerPeer {
			n.w.breaks(Bounded, "%v has %d exchanges of %s", n, open, peer)
		}
	}
}

// letGo sees, when the record of a peer's exchange is deleted for good, that its
// dialer needs nothing of it any more.
func (n *node) letGo(key []byte) {
	var tag wire.Tag
	rest := key[1+copy(tag[:], key[1:]):]
	r := n.w.made[tag]
	if r == nil || r.from.id != fsm.Peer(rest) || !n.w.clean(n, r.from) || r.maybeDropped {
		return
	}
	key = append([]byte{'o'}, tag[:]...)
	record, there := r.from.log.records[string(key)]
	if there && strings.Contains(fsm.Describe(key, record, nil), ", open") {
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
	if gap := n.w.now.Sub(d.last); d.failed >= 8 && gap < n.config.RetryMax/2 && !n.rogue {
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

// ended reports whether all has ended that waits for no application.
func (w *world) ended() bool {
	waits := w.waiting()
	for _, n := range w.nodes {
		if n.rogue {
			continue
		}
		if n.turn == nil || n.turn.Failed() != nil {
			return false
		}
		for _, r := range n.app.requests {
			// Whether an end was committed isn't known where the commit failed: the
			// machine knows.
			if r.accepted && r.told == 0 && !r.lost && !r.to.rogue && !waits[r.tag] {
				return false
			}
		}
		for _, x := range n.turn.Machine.Exchanges() {
			if !waits[x.Name.Tag] && !w.byID[x.Peer].rogue && !w.heard(x) {
				return false
			}
		}
	}
	return true
}

// heard reports whether all that is left of an exchange is a refusal that its
// dialer has taken: that may be remembered until the dialer comes again.
func (w *world) heard(x fsm.Summary) bool {
	r := w.made[x.Name.Tag]
	return x.Responder == fsm.Refused && r != nil && (r.told != 0 || r.lost)
}

// waiting is the requests that wait for an application that never answers, or
// behind such a one in their lane.
func (w *world) waiting() map[wire.Tag]bool {
	all := map[wire.Tag]bool{}
	for _, n := range w.nodes {
		behind := map[string]bool{}
		for _, r := range n.app.requests {
			lane := string(r.to.id) + "/" + r.lane
			e := r.to.app.effects[fsm.Name{Dialer: n.id, Tag: r.tag}]
			if behind[lane] || e != nil && e.mute && r.told == 0 {
				behind[lane] = true
				if r.told == 0 {
					all[r.tag] = true
				}
			}
		}
	}
	return all
}

// open lists what hasn't ended.
func (w *world) open() string {
	var all []string
	waits := w.waiting()
	for _, n := range w.nodes {
		if n.turn == nil || n.turn.Failed() != nil {
			all = append(all, fmt.Sprintf("%v is down", n))
			continue
		}
		for _, s := range n.turn.Machine.Exchanges() {
			state := fmt.Sprint(s.Responder, " responder")
			if s.Dialer != 0 {
				state = fmt.Sprint(s.Dialer, " dialer")
			}
			if !waits[s.Name.Tag] && !w.heard(s) {
				all = append(all, fmt.Sprintf("%v: %x with %s is %s", n, s.Name.Tag[:3], s.Peer, state))
			}
		}
		for _, r := range n.app.requests {
			if r.accepted && r.told == 0 && !r.lost && !r.to.rogue && !waits[r.tag] {
				all = append(all, fmt.Sprintf("%v: %x isn't told", n, r.tag[:3]))
			}
		}
	}
	if len(all) > 12 {
		all = append(all[:12], "...")
	}
	return strings.Join(all, ", ")
}

// checkEnd looks back at everything.
func (w *world) checkEnd() {
	waits := w.waiting()
	for _, n := range w.nodes {
		for _, r := range n.app.requests {
			if !r.accepted {
				continue
			}
			if r.from.rogue || r.to.rogue {
				continue
			}
			e := r.to.app.effects[fsm.Name{Dialer: n.id, Tag: r.tag}]
			switch {
			case r.lost:
				w.result.Gone++
				continue
			case waits[r.tag]:
				w.result.Waiting++
				continue
			case r.told == 0:
				w.breaks(KeptAndTold, "%v: %x was accepted and never ended", n, r.tag[:3])
			case r.told == fsm.ReplyReceived && (e == nil || e.times == 0):
				w.breaks(DeliveredAsMade, "%v: %x was answered without an effect", n, r.tag[:3])
			case r.told == fsm.RequestRejected && (e == nil || !e.reject) && !r.tooLarge() && !r.maybeDropped:
				w.breaks(DeliveredAsMade, "%v: %x was rejected by nobody", n, r.tag[:3])
			}
			switch r.told {
			case fsm.ReplyReceived:
				w.result.Answered++
			case fsm.RequestRejected:
				w.result.Rejected++
			default:
				w.result.GivenUp++
			}
		}
	}
}
