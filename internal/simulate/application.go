package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// application is one node's user. What it has done is in durable state of its
// own, as the promise asks of it: its effect and the exchange's name together.
type application struct {
	n *node

	// Durable.
	requests []*request // in the order in which they were made
	effects  map[fsm.Name]*effect

	// Of this life.
	given   map[fsm.Name]bool
	polling bool
}

// request is one that this application makes.
type request struct {
	to       *node
	lane     string
	body     []byte
	size     int64
	tag      wire.Tag
	deadline time.Time
	accepted bool // Request returned without an error
	told     fsm.DeliveryKind
	commit   bool
}

// effect is what a request did here.
type effect struct {
	times  int
	body   string
	order  int
	answer []byte
	reject bool
	done   bool // Reply or Reject returned
	late   bool
}

func newApplication(n *node) *application {
	return &application{n: n, effects: map[fsm.Name]*effect{}}
}

// plan spreads the requests over the time in which faults happen.
func (a *application) plan() {
	w := a.n.w
	for i := range w.config.Requests {
		w.after(w.within(3*time.Minute), func() { a.request(i) })
	}
}

func (a *application) begin() { a.given, a.polling = map[fsm.Name]bool{}, false }

func (a *application) request(i int) {
	w, n := a.n.w, a.n
	if n.turn == nil {
		w.after(time.Second, func() { a.request(i) })
		return
	}
	r := &request{lane: fmt.Sprint(w.rng.IntN(w.config.Lanes))}
	for r.to == nil || r.to == n {
		r.to = w.nodes[w.rng.IntN(len(w.nodes))]
	}
	binary.BigEndian.PutUint64(r.tag[:], w.rng.Uint64())
	r.body = fmt.Appendf(nil, "%v asks %v for %d", n, r.to, i)
	r.size = int64(len(r.body))
	p := fsm.Payload{Hash: sha256.Sum256(r.body), Size: r.size, Number: n.log.number(), Inline: r.body}
	if w.chance(w.config.Faults.Large) {
		p.Size, p.Inline = 100_000, nil
		n.log.large(p.Number, r.body)
	}
	if w.chance(w.config.Faults.Expire) {
		r.deadline = w.now.Add(w.within(5 * time.Second))
	}
	a.requests = append(a.requests, r)
	out := fsm.Outgoing{Peer: r.to.id, Tag: r.tag, Lane: r.lane, Deadline: r.deadline, Payload: p, Dialable: true}
	n.call(fsm.Enqueue{Requests: []fsm.Outgoing{out}}, func(answer fsm.Answer) {
		if answer.Err != nil {
			w.note("%v: request refused: %v", n, answer.Err)
			a.forget(r)
			w.after(time.Second, func() { a.request(i) })
			return
		}
		r.accepted = true
		w.result.Exchanges++
		if w.chance(w.config.Faults.Cancel) {
			life := n.life
			w.after(w.within(2*time.Second), func() {
				if n.life == life && n.turn != nil {
					n.call(fsm.Cancel{Name: fsm.Name{Dialer: n.id, Tag: r.tag}}, func(fsm.Answer) {})
				}
			})
		}
	})
}

func (a *application) forget(r *request) {
	for i, other := range a.requests {
		if other == r {
			a.requests = append(a.requests[:i], a.requests[i+1:]...)
			return
		}
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
	w.after(w.within(200*time.Millisecond), func() {
		if n.life == life && n.turn != nil {
			a.polling = false
			a.take()
		}
	})
}

func (a *application) take() {
	n := a.n
	for {
		d, ok := n.turn.Deliver()
		if !ok {
			return
		}
		n.w.note("%v takes %v %x redelivered %v", n, d.Kind, d.Name.Tag[:3], d.Redelivered)
		n.post(fsm.Taken{Name: d.Name})
		switch d.Kind {
		case fsm.RequestReceived:
			a.serve(d)
		case fsm.RequestAbandoned:
		default:
			a.outcome(d)
		}
	}
}

// serve applies a request's effect, durably and once, and answers.
func (a *application) serve(d fsm.Delivery) {
	w, n := a.n.w, a.n
	if a.given[d.Name] {
		w.breaks("%v was given %x twice in one life", n, d.Name.Tag[:3])
	}
	a.given[d.Name] = true
	body, found := n.log.payload(d.Payload.Number)
	if !found {
		return // abandoned on its way
	}
	e := a.effects[d.Name]
	if e == nil {
		e = &effect{body: string(body), order: len(a.effects), answer: append([]byte("answer to "), body...), late: w.chance(w.config.Faults.Late), reject: w.chance(w.config.Faults.Reject)}
		a.effects[d.Name] = e
		e.times++
	} else if !d.Redelivered {
		w.breaks("%v was given %x again, not marked", n, d.Name.Tag[:3])
	}
	if e.done {
		w.breaks("%v was given %x after it had answered", n, d.Name.Tag[:3])
	}
	delay := w.within(100 * time.Millisecond)
	if e.late {
		delay = w.within(2 * time.Minute)
	}
	life := n.life
	w.after(delay, func() {
		if n.life != life || n.turn == nil {
			return
		}
		var in fsm.Input = fsm.Refuse{Name: d.Name, Reason: "no: " + e.body}
		if !e.reject {
			p := fsm.Payload{Hash: sha256.Sum256(e.answer), Size: int64(len(e.answer)), Number: n.log.number(), Inline: e.answer}
			if w.chance(w.config.Faults.Large) {
				p.Size, p.Inline = 90_000, nil
				n.log.large(p.Number, e.answer)
			}
			in = fsm.Respond{Name: d.Name, Payload: p}
		}
		n.call(in, func(answer fsm.Answer) { e.done = e.done || answer.Err == nil })
	})
}

// outcome takes the end of a request of its own, and commits it.
func (a *application) outcome(d fsm.Delivery) {
	w, n := a.n.w, a.n
	for _, r := range a.requests {
		if r.tag != d.Name.Tag {
			continue
		}
		if r.commit {
			w.breaks("%v is told of %x again after it had committed", n, r.tag[:3])
		}
		if r.told != 0 && r.told != d.Kind {
			w.breaks("%v: %x ended as %v and as %v", n, r.tag[:3], r.told, d.Kind)
		}
		if r.told != 0 && !d.Redelivered {
			w.breaks("%v is told of %x again, not marked", n, r.tag[:3])
		}
		r.told = d.Kind
		if d.Kind == fsm.ReplyReceived {
			body, _ := n.log.payload(d.Payload.Number)
			if string(body) != "answer to "+string(r.body) {
				w.breaks("%v: %x was answered with %q", n, r.tag[:3], body)
			}
		}
		n.call(fsm.Commit{Name: d.Name}, func(answer fsm.Answer) { r.commit = r.commit || answer.Err == nil })
		return
	}
	w.breaks("%v is told of %x, which it never made", n, d.Name.Tag[:3])
}
