package simulate

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// effect is what a request did here, and what it is answered with.
type effect struct {
	answer  []byte
	payload fsm.Payload // of the answer, unwritten
	reject  bool
	mute    bool
	late    bool
	done    bool // Reply or Reject returned
}

// serve applies a request's effect, durably and once, and answers.
func (a *application) serve(d fsm.Delivery) {
	w, n := a.n.w, a.n
	from := w.byID[d.Name.Dialer]
	if from.rogue {
		n.call(fsm.Refuse{Name: d.Name, Reason: "no"}, func(fsm.Answer) {})
		return
	}
	r := w.made[d.Name.Tag]
	if r == nil || r.from != from || r.to != n || d.Payload.Hash != r.payload.Hash || d.Lane != r.lane {
		w.breaks(DeliveredAsMade, "%v is asked for %x of %v, which never made it so", n, d.Name.Tag[:3], from)
		return
	}
	if n.unlisted[from] && !n.unlisting(from) {
		w.breaks(ListedOnly, "%v is given %x of %v, which is off its list", n, d.Name.Tag[:3], from)
	}
	clean := w.clean(n, from)
	if a.given[d.Name] && (clean || !d.PossiblySeen) {
		w.breaks(TakenOnce, "%v was given %x twice in one life", n, d.Name.Tag[:3])
	}
	a.given[d.Name] = true
	body, found := n.log.payload(d.Payload.Number)
	if d.Payload.Size > 0 && !found {
		if x, _ := n.turn.Machine.Exchange(d.Name); x.Ended.IsZero() && x.Responder < fsm.Replying {
			w.breaks(NothingDeletes, "%v is asked for %x, whose payload is gone", n, d.Name.Tag[:3])
		}
		return // it was abandoned on its way
	}
	if string(body) != string(r.body) {
		w.breaks(DeliveredAsMade, "%v is asked for %x with %q", n, d.Name.Tag[:3], body)
	}
	if s := w.dice.next(DiedInHand, uint64(n.index)); w.chance(s, w.config.Faults.Fumble) {
		w.strike(s, true, "%v dies with the request %x in hand", n, d.Name.Tag[:3])
		n.down(w.dice.oneOf(s, 2) == 0, s)
		return
	}
	e := a.effects[d.Name]
	switch {
	case e == nil:
		e = a.effect(r)
		a.effects[d.Name] = e
		a.checkOrder(r)
	case !d.Redelivered && !d.PossiblySeen && !n.setBack: // else nobody can know
		w.breaks(TakenOnce, "%v was given %x again, not marked", n, d.Name.Tag[:3])
	case e.done && clean:
		w.breaks(TakenOnce, "%v was given %x after it had answered", n, d.Name.Tag[:3])
	}
	a.inHand[from] = append(a.inHand[from], d.Name)
	if !e.mute {
		a.answerLater(d.Name, from, e)
	}
}

// effect has a request do what it does, and decides on its answer: the same in
// every life, of the request's own making.
func (a *application) effect(r *request) *effect {
	w, f := a.n.w, &a.n.w.config.Faults
	bits := w.dice.bits(r.spot, 7)
	e := &effect{}
	e.late = w.chance(r.spot.as(AnswersLate), f.Late)
	e.reject = w.chance(r.spot.as(Rejects), f.Reject)
	e.mute = w.chance(r.spot.as(NeverAnswers), f.Mute)
	for _, k := range []Kind{AnswersLate, Rejects, NeverAnswers} {
		if (k == AnswersLate && e.late) || (k == Rejects && e.reject) || (k == NeverAnswers && e.mute) {
			w.chose(r.spot.as(k), "%v, of %x", k, r.tag[:3])
		}
	}
	size := 0
	if bits%8 > 0 {
		e.answer = append([]byte("answer to "), r.tag[:]...)
		size = len(e.answer)
	}
	if l := r.spot.as(SendsMuch); size > 0 && bits>>8%2 == 0 && w.chance(l, f.Large) {
		size = []int{90_000, 160_000, ownFile + 1}[bits>>16%3]
	}
	e.payload = fsm.Payload{Hash: sha256.Sum256(e.answer), Size: int64(size)}
	return e
}

// answerLater answers after a while, unless the process has died meanwhile: then
// the request comes again.
func (a *application) answerLater(name fsm.Name, from *node, e *effect) {
	w, n, life := a.n.w, a.n, a.n.life
	delay := w.dice.within(w.dice.next(latency, 1<<41+uint64(n.index)), 100*time.Millisecond)
	if e.late {
		delay = w.dice.within(w.dice.next(latency, 1<<41+uint64(n.index)), 2*time.Minute)
	}
	w.after(delay, func() {
		if n.life == life && n.turn != nil && slices.Contains(a.inHand[from], name) {
			a.answer(name, from, e)
		}
	})
}

// answer gives a request's answer: to the peer, where it has only one in hand of
// it, as Response does.
func (a *application) answer(name fsm.Name, from *node, e *effect) {
	w, n := a.n.w, a.n
	hand := a.inHand[from]
	var in fsm.Input = fsm.Refuse{Name: name, Reason: "no"}
	if !e.reject {
		respond := fsm.Respond{Name: name, Payload: n.stage(e.payload, e.answer)}
		if len(hand) == 1 && w.dice.oneOf(w.dice.next(choice, 1<<42+uint64(n.index)), 2) == 0 {
			respond.Name, respond.Peer = fsm.Name{}, from.id
		}
		in = respond
	}
	n.call(in, func(answer fsm.Answer) {
		byPeer, _ := in.(fsm.Respond)
		switch {
		case answer.Err == nil && len(answer.Names) > 0 && answer.Names[0] != name && w.clean(n, from):
			w.breaks(DeliveredAsMade, "%v answers %x with what is for %x", n, answer.Names[0].Tag[:3], name.Tag[:3])
		case answer.Err != nil && byPeer.Peer != "":
			n.call(fsm.Respond{Name: name, Payload: n.stage(e.payload, e.answer)}, func(fsm.Answer) {})
			return
		}
		e.done = e.done || answer.Err == nil
		a.inHand[from] = slices.DeleteFunc(a.inHand[from], func(other fsm.Name) bool { return other == name })
	})
}

// drop lets go of a request that its dialer has abandoned.
func (a *application) drop(d fsm.Delivery) {
	from := a.n.w.byID[d.Name.Dialer]
	a.inHand[from] = slices.DeleteFunc(a.inHand[from], func(other fsm.Name) bool { return other == d.Name })
	if e := a.effects[d.Name]; e != nil {
		e.done = true
	}
}

// checkOrder sees that none of a lane comes before an earlier one that has come.
func (a *application) checkOrder(r *request) {
	w := a.n.w
	if !w.clean(a.n, r.from) {
		return
	}
	after := false
	for _, other := range r.from.app.requests {
		if other == r {
			after = true
		} else if after && other.to == r.to && other.lane == r.lane && a.effects[fsm.Name{Dialer: r.from.id, Tag: other.tag}] != nil {
			w.breaks(InOrder, "%v was given %x after %x, which was made later", a.n, r.tag[:3], other.tag[:3])
		}
	}
}

// fair sees that between two events of one peer there is no more than one of each
// other, as long as that has any. Requests of earlier lives come first, in order of
// their arrival, and so do those of peers that were off the list meanwhile.
func (n *node) fair(order []fsm.Delivery) {
	since := map[fsm.Peer]int{} // events of others since a peer's last, or since the start
	last := map[fsm.Peer]int{}
	fresh := order[:0:0]
	for _, d := range order {
		if !n.returned[d.Peer] && !(d.Kind == fsm.RequestReceived && d.Redelivered) {
			fresh = append(fresh, d)
		}
	}
	if n.turn != nil {
		clear(n.returned)
	}
	for i, d := range fresh {
		last[d.Peer] = i
	}
	for i, d := range fresh {
		for peer, until := range last {
			if peer == d.Peer || i > until {
				continue
			}
			if since[peer]++; since[peer] >= len(last) {
				n.w.breaks(FairTurns, "%v gets %d events of others before one of %s that waits", n, since[peer], peer)
			}
		}
		since[d.Peer] = 0
	}
}
