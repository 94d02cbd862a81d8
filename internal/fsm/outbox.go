package fsm

import (
	"cmp"
	"container/list"
	"slices"
)

// outbox is what the application hasn't been given yet: first the requests of an
// earlier run, or of a peer that was off the allow list, then everything as it
// became durable, one event of each peer in turn, so that nobody is kept waiting
// by a peer that asks much. Entries that come to nothing before they are handed
// out leave it again, so that it holds no more than is open.
type outbox struct {
	again  []*inbound // in order of arrival, once sorted; at most two for each exchange
	sorted bool
	turns  list.List      // of *turn: whose it is, first the next; one for each peer
	of     map[Peer]*turn // the same, one for each peer
	waited []*outbound    // outcomes that calls wait for, one for each call
}

// turn is what waits of one peer, in order.
type turn struct {
	peer   Peer
	events list.List // of *outbound, *inbound and Delivery: one for each exchange
	place  *list.Element
}

func (o *outbox) init() {
	o.turns.Init()
	o.of = map[Peer]*turn{}
}

// add puts an event behind the others of its peer.
func (o *outbox) add(p Peer, event any) *list.Element {
	t := o.of[p]
	if t == nil {
		t = &turn{peer: p}
		t.place = o.turns.PushBack(t)
		o.of[p] = t
	}
	return t.events.PushBack(event)
}

// take takes an event out. A peer of which nothing waits has no turn.
func (o *outbox) take(p Peer, entry *list.Element) {
	t := o.of[p]
	t.events.Remove(entry)
	if t.events.Len() == 0 {
		o.turns.Remove(t.place)
		delete(o.of, p)
	}
}

// push adds a request that became durable, or an exchange's outcome.
func (o *outbox) push(e any) {
	switch e := e.(type) {
	case *outbound:
		if e.waited {
			o.waited = append(o.waited, e)
			return
		}
		e.entry = o.add(e.peer.id, e)
	case *inbound:
		e.entry = o.add(e.peer.id, e)
	}
}

// pushAgain adds a request that goes before everything new.
func (o *outbox) pushAgain(y *inbound) {
	if !y.again && y.entry == nil {
		y.again = true
		o.again = append(o.again, y)
		o.sorted = false
	}
}

// tidy lets go of requests of before that don't wait any more, or else each that
// is held back and delivered again would be there once more.
func (o *outbox) tidy() {
	o.again = slices.DeleteFunc(o.again, func(y *inbound) bool { return !y.again })
}

// abandoned adds the news that a request which was handed out is over.
func (o *outbox) abandoned(y *inbound) {
	d := y.delivery()
	d.Kind, d.Payload = RequestAbandoned, Payload{}
	o.add(y.peer.id, d)
}

// remove takes an exchange out, if it is in.
func (o *outbox) remove(e any) {
	switch e := e.(type) {
	case *outbound:
		if e.entry != nil {
			o.take(e.peer.id, e.entry)
			e.entry = nil
		}
	case *inbound:
		e.again = false
		if e.entry != nil {
			o.take(e.peer.id, e.entry)
			e.entry = nil
		}
	}
}

// Deliver takes the next event for the application out; false when there is
// none. Only what is durable may be handed out: call it after the Ready's batch
// was committed.
func (m *Machine) Deliver() (Delivery, bool) {
	if y := m.outbox.nextAgain(); y != nil {
		y.again, y.offered = false, true
		return y.delivery(), true
	}
	next := m.outbox.turns.Front()
	if next == nil {
		return Delivery{}, false
	}
	t := next.Value.(*turn)
	m.outbox.turns.MoveToBack(next)
	front := t.events.Front()
	m.outbox.take(t.peer, front)
	switch e := front.Value.(type) {
	case *outbound:
		e.entry = nil
		d := e.delivery()
		return d, true
	case *inbound:
		e.entry, e.offered = nil, true
		return e.delivery(), true
	default:
		return e.(Delivery), true
	}
}

// DeliverWaited takes out the next outcome that a call waits for. Such a call is
// not held up by events that nobody takes.
func (m *Machine) DeliverWaited() (Delivery, bool) {
	o := &m.outbox
	if len(o.waited) == 0 {
		return Delivery{}, false
	}
	x := o.waited[0]
	o.waited = o.waited[1:]
	return x.delivery(), true
}

// waits reports whether a call is still to be given the outcome.
func (o *outbox) waits(x *outbound) bool { return slices.Contains(o.waited, x) }

// Unwait has an outcome delivered like any other: the call that waited for it
// has gone.
func (m *Machine) Unwait(name Name) {
	x := m.made[name.Tag]
	if x == nil {
		return
	}
	x.waited = false
	if at := slices.Index(m.outbox.waited, x); at >= 0 { // else the call has been given it, or it is open
		m.outbox.waited = slices.Delete(m.outbox.waited, at, at+1)
		m.outbox.push(x)
	}
}

func (o *outbox) nextAgain() *inbound {
	if !o.sorted {
		o.tidy()
		slices.SortFunc(o.again, func(a, b *inbound) int { return cmp.Compare(a.ordinal, b.ordinal) })
		o.sorted = true
	}
	for len(o.again) > 0 {
		y := o.again[0]
		o.again = o.again[1:]
		if y.again {
			return y
		}
	}
	return nil
}

func (y *inbound) delivery() Delivery {
	return Delivery{
		Kind: RequestReceived, Name: y.name, Peer: y.peer.id, Address: y.peer.address(), Lane: y.lane, Time: y.arrived,
		Deadline: y.deadline, Payload: y.payload, Redelivered: y.recovered, PossiblySeen: y.possiblySeen,
	}
}

func (x *outbound) delivery() Delivery {
	d := Delivery{
		Name: x.name, Peer: x.peer.id, Address: x.peer.address(), Lane: x.lane, Time: x.ended,
		Deadline: x.deadline, Payload: x.reply, Reason: x.reason, Redelivered: x.retold, PossiblySeen: x.possiblySeen,
	}
	switch x.outcome {
	case Answered:
		d.Kind = ReplyReceived
	case Rejected:
		d.Kind = RequestRejected
	case Expired:
		d.Kind = RequestExpired
	default:
		d.Kind = RequestCancelled
	}
	return d
}
