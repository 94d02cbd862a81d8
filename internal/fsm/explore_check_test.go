package fsm

import (
	"bytes"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
)

// take gives an application its next event, as far as that is allowed.
func (d *duo) take(i int) {
	h := d.sides[i]
	told, ok := h.m.Deliver()
	if !ok {
		d.fail("%s had an event and has none", d.names[i])
		return
	}
	d.note("  %s is told: %v %d, again %v, possibly seen %v", d.names[i], told.Kind, exchange(told.Name), told.Redelivered, told.PossiblySeen)
	if d.plan.loose {
		d.taken(i, told)
		return
	}
	e := exchange(told.Name)
	if e >= len(d.plan.asks) || told.Name != d.name(e) {
		d.fail("%s is told of an exchange that nobody made", d.names[i])
		return
	}
	if (told.Kind.Ends()) != (d.plan.asks[e].dialer == i) {
		d.fail("%s is told of exchange %d as the wrong side", d.names[i], e)
	}
	switch {
	case told.Kind.Ends():
		d.outcomeTold(i, e, told)
	case told.Kind == RequestReceived:
		d.requestTold(i, e, told)
		d.turn(i, Taken{told.Name})
	default:
		d.asks[e].hand = false
		d.turn(i, Taken{told.Name})
	}
}

// taken is what an application does with whatever it is told.
func (d *duo) taken(i int, told Delivery) {
	switch {
	case told.Kind.Ends():
		d.turn(i, Commit{Name: told.Name})
	case told.Kind == RequestReceived:
		d.turn(i, Taken{told.Name})
		d.turn(i, Respond{Name: told.Name, Payload: d.payload(replyOf(exchange(told.Name)))})
	default:
		d.turn(i, Taken{told.Name})
	}
}

// lost reports whether any journal was lost or set back, so that less is promised.
func (d *duo) lost() bool { return d.astray != [2]bool{} }

// outcomeTold: an outcome is told once a run, always the same, and never again
// once it was committed.
func (d *duo) outcomeTold(i, e int, told Delivery) {
	ask := &d.asks[e]
	lost := d.astray[i]
	must := func(holds bool, format string) {
		if !holds {
			d.fail("%s, exchange %d: "+format, d.names[i], e)
		}
	}
	must(ask.made, "an outcome of a request that wasn't made")
	must(ask.told == 0, "its end is told twice in one run")
	must(lost || ask.committed != durably, "its end is told after it was committed")
	must(lost || ask.first == 0 || ask.first == told.Kind, "another end than before is told")
	must(ask.first == 0 || told.Redelivered || lost, "its end is told again, and not marked so")
	switch told.Kind {
	case ReplyReceived:
		must(ask.answered == 1 && told.Payload.Hash == replyOf(e), "a reply that nobody gave")
	case RequestRejected:
		must(ask.answered == 2, "a rejection that nobody gave")
	case RequestExpired:
		must(!told.Deadline.IsZero() && !told.Deadline.After(d.sides[i].now), "expired before its deadline")
	case RequestCancelled:
		must(ask.cancelled, "cancelled by nobody")
	}
	ask.told, ask.first = told.Kind, told.Kind
}

// requestTold: a request is delivered once a run, again only after a crash, and
// never once its answer is durable, unless the dialer's journal was lost or set
// back: then it is marked. (What the responder's own journal has lost before the
// dialer heard of it nobody knows.)
func (d *duo) requestTold(i, e int, told Delivery) {
	ask := &d.asks[e]
	of := d.plan.asks[e]
	must := func(holds bool, format string) {
		if !holds {
			d.fail("%s, exchange %d: "+format, d.names[i], e)
		}
	}
	must(told.Payload.Hash == requestOf(e) && told.Lane == of.lane, "another request is delivered than was made")
	must(ask.given < 2 || told.PossiblySeen, "a request is delivered twice in one run")
	if !d.astray[i] { // or nobody may know any more that it was delivered
		must(ask.given == 0 || told.Redelivered || told.PossiblySeen, "a request is delivered again, and not marked so")
		must(ask.answered == 0 || told.PossiblySeen, "a request is delivered after its answer")
	}
	must(!told.PossiblySeen || d.lost(), "a request is marked as possibly seen, and no journal was lost")
	if !d.lost() {
		if x := d.sides[of.dialer].m.made[tag(e)]; x != nil {
			over := x.outcome != 0 && x.state != Cancelling
			must(!over, "a request is delivered that its dialer knows to be over")
		}
		for later := e + 1; later < len(d.plan.asks); later++ {
			if d.plan.asks[later].dialer == of.dialer && d.plan.asks[later].lane == of.lane {
				must(ask.given > 0 || d.asks[later].given == 0, "a request is delivered after a later one of its lane")
			}
		}
	}
	ask.given, ask.hand = 2, true
}

// check looks at a state that is new, with respect to the one before it: a side
// that is the same is in order.
func (d *duo) check(before *duo, thorough bool) {
	for i, h := range d.sides {
		if before != nil && before.sides[i] == h {
			continue
		}
		if broken := h.m.broken(); broken != "" {
			d.fail("%s contradicts itself: %s", d.names[i], broken)
		}
		d.checkPayloads(i)
		if thorough {
			d.checkJournal(i)
		}
	}
	for e := range d.plan.asks {
		d.checkKept(e)
	}
}

// checkKept: what was promised is there.
func (d *duo) checkKept(e int) {
	ask, dialer := &d.asks[e], d.plan.asks[e].dialer
	x := d.sides[dialer].m.made[tag(e)]
	if ask.made && ask.committed == 0 && !d.astray[dialer] && x == nil {
		d.fail("%s has lost exchange %d, whose end isn't committed", d.names[dialer], e)
	}
	if ask.answered == 0 || d.lost() {
		return
	}
	y := d.sides[1-dialer].m.got[d.name(e)]
	keeps := y != nil && (y.state == Replying || y.state == Refused)
	over := ask.committed != 0 || x != nil && x.outcome != 0
	if !keeps && !over {
		d.fail("%s has let the answer of exchange %d go, and %s hasn't got it", d.names[1-dialer], e, d.names[dialer])
	}
}

// checkPayloads: a payload is in the journal exactly as long as it is named.
func (d *duo) checkPayloads(i int) {
	h := d.sides[i]
	stored := map[string]bool{}
	for _, r := range h.written(len(h.pending)) {
		if r.Key[0] == payloadKey {
			stored[string(r.Key)] = true
		}
	}
	for number := range h.m.payloads() {
		key := string(payloadRecord(number, nil).Key)
		if !stored[key] {
			d.fail("%s names payload %d, which isn't in its journal", d.names[i], number)
		}
		delete(stored, key)
	}
	if len(stored) > 0 {
		d.fail("%s keeps payloads that nothing names: %v", d.names[i], slices.Sorted(maps.Keys(stored)))
	}
}

func (m *Machine) payloads() map[uint64]bool {
	all := map[uint64]bool{}
	add := func(p Payload) {
		if p.Number != 0 {
			all[p.Number] = true
		}
	}
	for _, x := range m.made {
		add(x.payload)
		add(x.reply)
	}
	for _, y := range m.got {
		add(y.payload)
		add(y.reply)
	}
	return all
}

// checkJournal: the machine that the journal gives is the same in all that must
// survive; recovery changes nothing, so that a crash in it changes nothing.
func (d *duo) checkJournal(i int) {
	h := d.sides[i]
	written := h.written(len(h.pending))
	again, _, err := written.restored(h.m.config, h.now)
	if err != nil {
		d.fail("%s: a record can't be read: %v", d.names[i], err)
		return
	}
	if diff := cmp.Diff(h.m.view(), again.view()); diff != "" {
		d.fail("%s is restored otherwise (-before +after):\n%s", d.names[i], diff)
	}
	recovered := &half{durable: written}
	recovered.commit(again.Ready(h.now).Batch)
	if broken := again.broken(); broken != "" {
		d.fail("%s, restored, contradicts itself: %s", d.names[i], broken)
	}
	if !slices.EqualFunc(written, recovered.written(len(recovered.pending)), func(a, b Record) bool { return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) }) {
		d.fail("%s changes its journal in recovery", d.names[i])
	}
}
