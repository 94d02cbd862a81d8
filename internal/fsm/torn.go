package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// torn is what the journal has of a peer when one of the records contradicts others.
// The peer is halted, both ways: it is neither dialled nor let in, nothing is told of
// its exchanges, and its records and payloads stay as they are until the operator
// renews; their room stays taken as long. Other peers are as ever.
type torn struct {
	key    []byte // of the first record that contradicts others
	name   Name   // the exchange that it is about, if one is
	wrong  string
	listed bool // on the allow list

	epoch, known uint64      // of the dialer's side
	made         []*outbound // one for each exchange
	responder    responderSide
	unsound      bool                // the responder's side
	got          []*inbound          // one for each exchange
	numbers      []uint64            // of the payloads that these name and that are stored, two for each exchange
	lost         map[uint64]struct{} // of those that aren't stored, two for each exchange
}

// tear notes a record that contradicts others.
func (r *Restorer) tear(p *peer, name Name, k []byte, wrong string) {
	if p.torn == nil {
		p.torn = &torn{key: slices.Clone(k), name: name, wrong: wrong}
		r.m.torn = append(r.m.torn, p)
	}
	p.torn.unsound = p.torn.unsound || k[0] != dialerKey && k[0] != outboundKey
}

// setAside takes the exchanges of torn peers out of the machine. Their room stays
// taken: they come back.
func (r *Restorer) setAside(now time.Time) {
	m := r.m
	r.outs = slices.DeleteFunc(r.outs, func(x *outbound) bool {
		t := x.peer.torn
		if t != nil {
			t.made = append(t.made, x)
			m.aside[x.name.Tag] = x
		}
		return t != nil
	})
	for _, y := range r.ins {
		if t := y.peer.torn; t != nil {
			t.got = append(t.got, y)
		}
	}
	for _, p := range m.torn {
		t := p.torn
		for _, y := range p.responder.inOrder() {
			m.dropInbound(y)
		}
		t.epoch, t.known, t.responder = p.dialer.epoch, p.dialer.known, p.responder
		p.dialer, p.responder = newDialerSide(p), newResponderSide(p)
		p.dialer.halt = fmt.Errorf("%w: key %x: %s", ErrContradicts, t.key, t.wrong)
		m.room.hold(t, 1)
		m.notice(Notice{Kind: RecordContradicts, Peer: p.id, Name: t.name, Detail: p.dialer.halt.Error(), Time: now})
	}
}

// namedAside names the payloads of what is aside that are stored, and notes which
// aren't.
func (r *Restorer) namedAside(t *torn, stored map[uint64]struct{}) {
	t.lost = map[uint64]struct{}{}
	name := func(payloads ...Payload) {
		for _, p := range payloads {
			if _, found := stored[p.Number]; found {
				r.named(p)
				t.numbers = append(t.numbers, p.Number)
			} else if p.Number != 0 {
				t.lost[p.Number] = struct{}{}
			}
		}
	}
	for _, x := range t.made {
		name(x.payload, x.reply)
	}
	for _, y := range t.got {
		name(y.payload, y.reply)
		t.unsound = t.unsound || t.lacks(y.payload, y.reply)
	}
}

// lacks reports whether one of these is named and not stored.
func (t *torn) lacks(payloads ...Payload) bool {
	return slices.ContainsFunc(payloads, func(p Payload) bool {
		_, lost := t.lost[p.Number]
		return lost
	})
}

// mend goes on with a torn peer, by the operator's word, with all of its records that
// make sense without the others. What this node made goes out again in a later epoch.
// What the peer made goes on where the dialer's side was torn only; else it is as if
// the journal had never known the peer, who is told so and asks again.
func (m *Machine) mend(now time.Time, p *peer) {
	t := p.torn
	p.torn = nil
	m.torn = slices.DeleteFunc(m.torn, func(other *peer) bool { return other == p })
	m.room.hold(t, -1)
	for _, x := range t.made {
		delete(m.aside, x.name.Tag)
	}
	m.renew(now, p, newEpoch(now, max(t.epoch, t.known)))
	m.mendMade(now, p, t)
	if t.unsound {
		m.forgetAsked(now, p, t)
	} else {
		p.responder = t.responder
		for _, y := range t.got {
			m.enterInbound(y)
		}
	}
	m.dropUnnamed(t)
	if t.listed || m.everyone {
		m.admitted(now, p)
	}
}

// dropUnnamed drops the payloads of what was aside that nothing names any more. Records
// that contradict each other may name one twice.
func (m *Machine) dropUnnamed(t *torn) {
	named := map[uint64]struct{}{0: {}}
	name := func(made []*outbound, got []*inbound) {
		for _, x := range made {
			named[x.payload.Number], named[x.reply.Number] = struct{}{}, struct{}{}
		}
		for _, y := range got {
			named[y.payload.Number], named[y.reply.Number] = struct{}{}, struct{}{}
		}
	}
	name(slices.Collect(maps.Values(m.made)), slices.Collect(maps.Values(m.got)))
	for _, p := range m.torn {
		name(p.torn.made, p.torn.got)
	}
	for _, number := range t.numbers {
		if _, found := named[number]; !found {
			named[number] = struct{}{}
			m.drop(&Payload{Number: number})
		}
	}
}

// mendMade takes back what this node made: what is open under new numbers, ends to be
// told. One that contradicts itself ends as cancelled.
func (m *Machine) mendMade(now time.Time, p *peer, t *torn) {
	slices.SortFunc(t.made, func(a, b *outbound) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), bySeq(a, b), cmp.Compare(string(a.name.Tag[:]), string(b.name.Tag[:])))
	})
	kept := map[uint64]bool{}
	var over []*outbound
	for _, x := range t.made {
		m.made[x.name.Tag] = x
		p.dialer.kept++
		if x.key != "" {
			m.keys[key{p.id, x.key}] = keyed{x.name, x.payload.Hash}
		}
		twice := kept[x.payload.Number] && x.payload.Number != 0 || p.dialer.next > wire.MaxOpen
		senseless := x.contradictsItself() != "" || !x.committed && t.lacks(x.payload, x.reply)
		if !senseless && !twice && x.outcome == 0 {
			kept[x.payload.Number] = true
			m.makeAgain(x)
			continue
		}
		x.payload.Number = 0
		if senseless || x.outcome == 0 {
			x.outcome, x.ended, x.ordinal, x.reply, x.committed = Cancelled, now, m.nextOrdinal(), Payload{}, false
		}
		x.state = x.outcome
		over = append(over, x)
	}
	slices.SortFunc(over, func(a, b *outbound) int { return cmp.Compare(a.ordinal, b.ordinal) })
	for _, x := range over {
		if x.committed {
			m.forgetOutbound(now, x)
			continue
		}
		p.dialer.stored += x.reply.Size
		m.room.replyBytes += x.reply.Size
		m.save(x)
		m.outbox.push(x)
	}
}

// makeAgain gives an open exchange a new number, as renumber does.
func (m *Machine) makeAgain(x *outbound) {
	d := &x.peer.dialer
	x.possiblySeen = x.possiblySeen || x.sent
	x.seq, x.state = d.next, Suspended
	d.next++
	x.sent, x.wrote, x.resent, x.acked, x.taken = false, false, false, false, false
	x.peer.addresses = x.addresses
	m.enter(x)
	x.arm(m)
	m.save(x)
}

// forgetAsked deletes what is known as responder to a peer. Its requests are marked
// when they come again: they may have been handed out.
func (m *Machine) forgetAsked(now time.Time, p *peer, t *torn) {
	for _, y := range t.got {
		y.state, y.ended = Abandoned, now
		m.save(y) // which deletes its record
		m.remember(now, y.summary())
	}
	m.ready.Batch.put(append([]byte{responderKey}, p.id...), nil)
	t.responder.ended.clear()
	t.responder.ended.save(&m.ready.Batch, p.id)
}
