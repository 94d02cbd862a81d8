package fsm

import (
	"container/list"
	"fmt"
	"sort"
	"strings"
	"time"
)

func (m *Machine) broken() string { return m.Broken() }

// view is all of a machine that must survive a restart, a line for each thing.
func (m *Machine) view() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, p := range m.inOrder() {
		if p.torn != nil {
			continue // what is known of it isn't the machine's
		}
		if d := &p.dialer; d.epoch != 0 || d.halt != nil {
			add("dialer to %s: epoch %d next %d low %d known %d halt %v acked %v adopted %v unconfirmed %v stored %d",
				p.id, d.epoch, d.next, d.low, d.known, d.halt, d.acked, d.adopted, d.unconfirmed, d.stored-reading(d))
		}
		if r := &p.responder; r.epoch != 0 {
			add("responder to %s: epoch %d low %d ended %v stored %d replying %d", p.id, r.epoch, r.ended.low, r.ended.spans, r.stored-receiving(r), r.replying)
		}
	}
	for _, x := range m.made {
		state := "open"
		if x.outcome != 0 {
			state = x.state.String()
		}
		add("made %x for %s: seq %d lane %q key %q %s outcome %d reason %q ordinal %d sent %v acked %v taken %v seen %v committed %v request %s reply %s deadline %s made %s ended %s",
			x.name.Tag[12:], x.peer.id, x.seq, x.lane, x.key, state, x.outcome, x.reason, x.ordinal, x.sent, x.acked, x.taken, x.possiblySeen, x.committed,
			payloadView(x.payload), payloadView(x.reply), moment(x.deadline), moment(x.made), moment(x.ended))
	}
	for _, y := range m.got {
		state := y.state
		if state == Receiving {
			continue
		}
		if state == Delivered {
			state = Stored
		}
		add("asked %x by %s: seq %d lane %q %v ordinal %d refusal %v %q limit %d seen %v request %s reply %s deadline %s arrived %s",
			y.name.Tag[12:], y.peer.id, y.seq, y.lane, state, y.ordinal, y.refusal, y.reason, y.limit, y.possiblySeen,
			payloadView(y.payload), payloadView(y.reply), moment(y.deadline), moment(y.arrived))
	}
	remembers := func(e *list.Element) {
		r := e.Value.(*remembered)
		add("history %d: %s %x with %s, %d %d, lane %q key %q, %s %s %s, %d %d %q %v %v %v, found %v", r.serial, r.Name.Dialer, r.Name.Tag[12:], r.Peer,
			r.Dialer, r.Responder, r.Lane, r.Key, moment(r.Made), moment(r.Ended), moment(r.Deadline), r.RequestSize, r.ReplySize, r.Reason,
			r.Acknowledged, r.Taken, r.PossiblySeen, m.history.names[r.Name] == e)
	}
	for _, entries := range []*list.List{&m.history.made, &m.history.got} {
		for e := entries.Front(); e != nil; e = e.Next() {
			remembers(e)
		}
	}
	for k, known := range m.keys {
		add("key %q of %s: %x", k.key, k.peer, known.name.Tag[12:])
	}
	sort.Strings(lines)
	return lines
}

// reading and receiving are the bytes reserved for what is on its way.
func reading(d *dialerSide) (bytes int64) {
	for _, x := range d.open {
		if x.reading != nil {
			bytes += x.expects
		}
	}
	return bytes
}

func receiving(r *responderSide) (bytes int64) {
	for _, y := range r.open {
		if y.state == Receiving {
			bytes += y.payload.Size
		}
	}
	return bytes
}

func payloadView(p Payload) string {
	return fmt.Sprintf("%d/%d/%s", p.Number, p.Size, strings.ToUpper(fmt.Sprintf("%x", p.Hash[:2])))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprint(t.UnixMilli())
}
