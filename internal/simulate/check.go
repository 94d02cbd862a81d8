package simulate

import (
	"fmt"
	"strings"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// check sees that what a node sends rests on what is synced.
func (n *node) check(a fsm.Action) {
	s, ok := a.(fsm.Send)
	if !ok || n.find(s.Conn) == nil {
		return
	}
	if n.unlistedConn(s.Conn) {
		n.w.breaks("%v sends to a peer that is off its list: %v", n, s.Frame.Kind)
	}
	f := s.Frame
	switch f.Kind {
	case wire.Request, wire.Resume:
		if _, durable := n.log.records["o"+string(f.Tag[:])]; !durable {
			n.w.breaks("%v sends %v of %x before it is synced", n, f.Kind, f.Tag[:3])
		}
	case wire.Reply:
		if _, durable := n.log.payloads[s.Payload.Number]; !durable && f.Size > 0 {
			n.w.breaks("%v sends a reply before it is synced", n)
		}
	case wire.Ack:
		n.checkAck(s)
	}
}

// checkAck sees that what is acknowledged is synced: a request's record, unless
// it has ended since; a reply with all else of its turn.
func (n *node) checkAck(s fsm.Send) {
	f := s.Frame
	switch f.Of {
	case wire.OfRequest:
		peer := n.find(s.Conn).other.node.id
		tag := n.asked[number{peer, f.Epoch, f.Seq}]
		_, durable := n.log.records["i"+string(tag[:])+string(peer)]
		if y, _ := n.turn.Machine.Exchange(fsm.Name{Dialer: peer, Tag: tag}); !durable && y.Ended.IsZero() {
			n.w.breaks("%v acknowledges %x before it is synced", n, tag[:3])
		}
	case wire.OfReply:
		if len(n.log.unsynced) > 0 {
			n.w.breaks("%v acknowledges a reply before it is synced", n)
		}
	}
}

// number is an exchange as the wire names it to its responder.
type number struct {
	dialer     fsm.Peer
	epoch, seq uint64
}

func (n *node) unlistedConn(id fsm.Conn) bool {
	e := n.find(id)
	return e != nil && n.unlisted[e.other.node] && !n.inboxHas(e.other.node)
}

// inboxHas reports whether the news that a peer is off the list is on its way.
func (n *node) inboxHas(other *node) bool {
	for _, in := range n.inbox {
		if u, ok := in.(fsm.Unlisted); ok && u.Peer == other.id {
			return true
		}
	}
	return false
}

// done reports whether every request has ended and been committed.
func (w *world) done() bool {
	for _, n := range w.nodes {
		if n.turn == nil {
			return false
		}
		for _, r := range n.app.requests {
			if r.accepted && !r.commit {
				return false
			}
		}
		if len(n.turn.Machine.Exchanges()) > 0 {
			return false
		}
	}
	return true
}

// open lists what hasn't ended.
func (w *world) open() string {
	var all []string
	for _, n := range w.nodes {
		if n.turn == nil {
			all = append(all, fmt.Sprintf("%v is down", n))
			continue
		}
		for _, s := range n.turn.Machine.Exchanges() {
			state := fmt.Sprint(s.Responder, " responder")
			if s.Dialer != 0 {
				state = fmt.Sprint(s.Dialer, " dialer")
			}
			all = append(all, fmt.Sprintf("%v: %x with %s is %s", n, s.Name.Tag[:3], s.Peer, state))
		}
	}
	if len(all) > 12 {
		all = append(all[:12], "...")
	}
	return strings.Join(all, ", ")
}

// checkEnd holds the promises against what the applications have seen.
func (w *world) checkEnd() {
	for _, n := range w.nodes {
		last := map[string]int{} // order of effects, by responder and lane
		for _, r := range n.app.requests {
			name := fsm.Name{Dialer: n.id, Tag: r.tag}
			e := r.to.app.effects[name]
			switch {
			case r.accepted && r.told == 0:
				w.breaks("%v: %x was accepted and never ended", n, r.tag[:3])
			case r.told == fsm.ReplyReceived && (e == nil || e.times != 1):
				w.breaks("%v: %x was answered without an effect", n, r.tag[:3])
			case r.told == fsm.RequestRejected && (e == nil || !e.reject):
				w.breaks("%v: %x was rejected by nobody", n, r.tag[:3])
			}
			if r.told == fsm.ReplyReceived {
				w.result.Answered++
			}
			if e != nil {
				lane := string(r.to.id) + "/" + r.lane
				if before, found := last[lane]; found && e.order < before {
					w.breaks("%v: %x overtook another of its lane", n, r.tag[:3])
				}
				last[lane] = e.order
			}
		}
	}
}
