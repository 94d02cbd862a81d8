package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

// application is one node's user. What it has done is in durable state of its
// own, as the promise asks of it: its effect and the exchange's name together.
type application struct {
	n *node

	// Durable.
	requests []*request           // in the order in which they were made; twice Config.Requests
	effects  map[fsm.Name]*effect // one for each exchange

	// Of this life.
	given     map[fsm.Name]bool    // one for each exchange
	inHand    map[*node][]fsm.Name // not answered yet, one for each exchange
	polling   bool
	lazyUntil time.Time
}

// request is one that this application makes.
type request struct {
	from, to *node
	lane     string
	key      string
	body     []byte
	payload  fsm.Payload
	tag      wire.Tag
	deadline time.Time
	spot     spot
	accepted bool // Request returned without an error
	told     fsm.DeliveryKind
	asked    bool // to commit its end, which may be done
	commit   bool // and is
	// lost: the journal that knew of it was lost, or set back.
	lost bool
	// dropped: its responder's operator has dropped the answer, unless a crash came
	// in between.
	dropped bool
}

func newApplication(n *node) *application {
	return &application{n: n, effects: map[fsm.Name]*effect{}, inHand: map[*node][]fsm.Name{}}
}

// plan spreads the requests over the time in which faults happen.
func (a *application) plan() {
	w, n := a.n.w, a.n
	for range w.config.Requests {
		s := w.dice.next(Asks, uint64(n.index))
		if w.may(s, 1) {
			w.after(w.dice.within(s, Calm*3/4), func() { a.request(s) })
		}
	}
}

// begin is a new life. Who doesn't know whether its request was accepted asks
// again, with the same key; not where the journal may have known it once, since it
// would be another request then, under a tag of its own.
func (a *application) begin() {
	a.given, a.polling = map[fsm.Name]bool{}, false
	clear(a.inHand)
	a.lazyUntil = time.Time{}
	for _, r := range a.requests {
		if r.key != "" && !r.accepted && !a.n.setBack {
			a.enqueue(r)
		}
	}
}

// setBack is what becomes of the application when its node's journal has.
func (a *application) setBack() {
	for _, r := range a.requests {
		x, known := a.n.log.recorded(fsm.MadeKey(fsm.Name{Dialer: a.n.id, Tag: r.tag}))
		r.lost = !known && !r.asked
		if known && !x.Committed {
			r.asked, r.commit = false, false // it will be told again
		}
	}
}

// request makes a request of its own kind, to a peer of its own choice.
func (a *application) request(s spot) {
	w, n := a.n.w, a.n
	if n.turn == nil {
		w.after(time.Second, func() { a.request(s) })
		return
	}
	f, bits := &w.config.Faults, w.dice.bits(s, 5)
	r := &request{from: n, to: n.knows[bits%uint64(len(n.knows))], lane: fmt.Sprint(bits >> 16 % uint64(w.config.Lanes)), spot: s}
	binary.BigEndian.PutUint64(r.tag[:], w.dice.bits(s, 6))
	r.body = fmt.Appendf(nil, "%v asks %v for %d", n, r.to, s.count)
	size := []int{len(r.body), len(r.body), 0, 30_000}[bits>>32%4]
	if l := s.as(SendsMuch); w.chance(l, f.Large) {
		w.chose(l, "%v asks much", n)
		size = []int{100_000, 180_000, ownFile + 5}[w.dice.oneOf(l, 3)]
	}
	if size == 0 {
		r.body = nil
	}
	r.payload = fsm.Payload{Hash: sha256.Sum256(r.body), Size: int64(size)}
	if bits>>40%2 == 0 {
		r.key = fmt.Sprint("key ", s.count)
	}
	if e := s.as(Expires); w.chance(e, f.Expire) {
		r.deadline = n.clock().Add(w.dice.within(e, 5*time.Second)).Truncate(time.Millisecond)
	}
	w.chose(s, "%v asks %v, lane %q, %d bytes, for %x", n, r.to, r.lane, size, r.tag[:3])
	w.made[r.tag] = r
	a.requests = append(a.requests, r)
	a.enqueue(r)
}

// enqueue makes a request, or makes it again.
func (a *application) enqueue(r *request) {
	w, n := a.n.w, a.n
	p := n.stage(r.payload, r.body)
	c := r.spot.as(Calls)
	waited := w.chance(c, w.config.Faults.Call)
	out := fsm.Outgoing{Peer: r.to.id, Tag: r.tag, Lane: r.lane, Key: r.key, Deadline: r.deadline, Payload: p, Dialable: true, Waited: waited}
	n.call(fsm.Enqueue{Requests: []fsm.Outgoing{out}}, func(answer fsm.Answer) {
		if answer.Err != nil {
			w.note("%v: request %x refused: %v", n, r.tag[:3], answer.Err)
			if errors.Is(answer.Err, mediator.ErrJournal) {
				return // it may be on disk all the same
			}
			delete(w.made, r.tag)
			a.requests = slices.DeleteFunc(a.requests, func(other *request) bool { return other == r })
			w.after(time.Second, func() { a.request(r.spot) })
			return
		}
		if got := answer.Names[0]; got != (fsm.Name{Dialer: n.id, Tag: r.tag}) {
			w.breaks(KeptAndTold, "%v made %x, and was given %x", n, r.tag[:3], got.Tag[:3])
		}
		r.accept()
		a.change(r, waited)
	})
}

// accept notes that a request is the journal's.
func (r *request) accept() {
	if !r.accepted {
		r.from.w.result.Exchanges++
	}
	r.accepted, r.lost = true, false
}

// stage has a payload ready to be written with what names it, or writes it when
// it is large.
func (n *node) stage(p fsm.Payload, body []byte) fsm.Payload {
	if p.Size == 0 {
		return p
	}
	p.Number, p.Inline = n.log.number(), body
	if p.Size > wire.MaxInline {
		p.Inline = nil
		n.log.large(p.Number, p.Size, body)
	}
	return p
}

// change is what comes of a request by its maker's own will: it is cancelled, or
// who waited for it waits no more.
func (a *application) change(r *request, waited bool) {
	w, n, life := a.n.w, a.n, a.n.life
	name := fsm.Name{Dialer: n.id, Tag: r.tag}
	if c := r.spot.as(Cancels); w.chance(c, w.config.Faults.Cancel) {
		w.after(w.dice.within(c, 3*time.Second), func() {
			if n.life == life && n.turn != nil && r.told == 0 {
				w.strike(c, true, "%v cancels %x", n, r.tag[:3])
				n.call(fsm.Cancel{Name: name}, func(fsm.Answer) {})
			}
		})
	}
	if c := r.spot.as(Calls); waited && w.dice.oneOf(c, 2) == 0 {
		w.after(w.dice.within(c, 5*time.Second), func() {
			if n.life == life && n.turn != nil {
				w.chose(c, "nobody waits for %x any more", r.tag[:3])
				n.turn.Machine.Unwait(name)
				a.poll()
			}
		})
	}
}

// poll has the application look for events, sooner or later.
func (a *application) poll() {
	w, n := a.n.w, a.n
	if a.polling {
		return
	}
	a.polling = true
	life := n.life
	wait := w.dice.within(w.dice.next(latency, 1<<40+uint64(n.index)), 200*time.Millisecond)
	if a.lazyUntil.After(w.now) {
		wait += a.lazyUntil.Sub(w.now)
	}
	w.after(wait, func() {
		if n.life == life && n.turn != nil {
			a.polling = false
			a.take()
		}
	})
}

// take looks for events until there is none.
func (a *application) take() {
	n := a.n
	for n.turn != nil {
		d, ok := n.turn.DeliverWaited()
		if !ok {
			break
		}
		a.outcome(d)
	}
	var order []fsm.Delivery
	for n.turn != nil {
		d, ok := n.turn.Deliver()
		if !ok {
			break
		}
		order = append(order, d)
		n.w.stamp(7, uint64(n.index), uint64(d.Kind))
		n.w.note("the application of %v takes %v %x, redelivered %v, possibly seen %v", n, d.Kind, d.Name.Tag[:3], d.Redelivered, d.PossiblySeen)
		n.post(fsm.Taken{Name: d.Name})
		switch d.Kind {
		case fsm.RequestReceived:
			a.serve(d)
		case fsm.RequestAbandoned:
			a.drop(d)
		default:
			a.outcome(d)
		}
	}
	n.fair(order)
}

// outcome takes the end of a request of its own, and commits it.
func (a *application) outcome(d fsm.Delivery) {
	w, n := a.n.w, a.n
	r := w.made[d.Name.Tag]
	if r == nil || r.from != n {
		w.breaks(DeliveredAsMade, "%v is told of %x, which it never made", n, d.Name.Tag[:3])
		return
	}
	rewritten := !w.clean(n, r.to) // its journal, perhaps
	switch {
	case r.commit && !rewritten:
		w.breaks(KeptAndTold, "%v is told of %x again after it had committed", n, r.tag[:3])
	case r.told != 0 && r.told != d.Kind && !rewritten:
		w.breaks(KeptAndTold, "%v: %x ended as %v and as %v", n, r.tag[:3], r.told, d.Kind)
	case r.told != 0 && !d.Redelivered && !rewritten:
		w.breaks(KeptAndTold, "%v is told of %x again, not marked", n, r.tag[:3])
	}
	r.accept()
	r.told = d.Kind
	if d.Kind == fsm.ReplyReceived && !r.to.rogue {
		e := r.to.app.effects[d.Name]
		body, found := n.log.payload(d.Payload.Number)
		if e == nil || d.Payload.Hash != e.payload.Hash || d.Payload.Size != e.payload.Size || d.Payload.Size > 0 && (!found || string(body) != string(e.answer)) {
			w.breaks(DeliveredAsMade, "%v: %x was answered with %q", n, r.tag[:3], body)
		}
	}
	if s := w.dice.next(DiedInHand, uint64(n.index)); w.chance(s, w.config.Faults.Fumble) {
		w.strike(s, true, "%v dies with the outcome of %x in hand", n, r.tag[:3])
		n.down(w.dice.oneOf(s, 2) == 0, s)
		return
	}
	r.asked = true
	n.call(fsm.Commit{Name: d.Name}, func(answer fsm.Answer) {
		if answer.Err != nil {
			w.note("%v: commit of %x refused: %v", n, r.tag[:3], answer.Err)
		}
		r.commit = r.commit || answer.Err == nil
	})
}

// checkMade sees that every request that was accepted is in the log until the
// application is done with its end.
func (a *application) checkMade() {
	for _, r := range a.requests {
		if !r.accepted || r.asked || r.lost {
			continue
		}
		if _, there := a.n.log.records[string(fsm.MadeKey(fsm.Name{Dialer: a.n.id, Tag: r.tag}))]; !there {
			a.n.w.breaks(NothingDeletes, "%v: %x was accepted, isn't done with and isn't in the journal", a.n, r.tag[:3])
		}
	}
}

// tooLarge reports whether a request, or its reply, is more than the other side
// takes.
func (r *request) tooLarge() bool {
	e := r.to.app.effects[fsm.Name{Dialer: r.from.id, Tag: r.tag}]
	return r.payload.Size > r.to.config.MaxMessageSize || e != nil && e.payload.Size > r.from.config.MaxMessageSize
}
