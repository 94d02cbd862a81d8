package simulate

import (
	"fmt"
	"strings"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

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
			if r.accepted && !r.asked && !r.lost && !r.to.rogue && !waits[r.tag] {
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
			if r.accepted && !r.asked && !r.lost && !r.to.rogue && !waits[r.tag] {
				all = append(all, fmt.Sprintf("%v: %x isn't told, and committed", n, r.tag[:3]))
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
			case r.told == fsm.ReplyReceived && e == nil:
				w.breaks(DeliveredAsMade, "%v: %x was answered without an effect", n, r.tag[:3])
			case r.told == fsm.RequestRejected && (e == nil || !e.reject) && !r.tooLarge() && !r.dropped:
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
