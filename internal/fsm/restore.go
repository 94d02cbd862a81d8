package fsm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Restorer replays a journal's records into a new machine. Recovery is then the
// same pipe as everything else: the first Ready says what to do.
type Restorer struct {
	m       *Machine
	outs    []*outbound         // one for each exchange
	open    map[number]struct{} // of those, one for each exchange that is open
	lanes   map[laneOf]stretch  // of the same, one for each exchange at most
	ins     []*inbound          // one for each exchange
	numbers map[uint64]struct{} // payloads, two for each exchange
}

// Restore begins a recovery into a new machine.
func Restore(config Config) *Restorer {
	return &Restorer{m: New(config), open: map[number]struct{}{}, lanes: map[laneOf]stretch{}, numbers: map[uint64]struct{}{}}
}

// Record takes one record, in ascending order of keys: a record of a peer comes
// before those of its exchanges, which must belong to it.
func (r *Restorer) Record(k, value []byte) error {
	if err := r.read(k, value); err != nil {
		return err
	}
	return r.place(k)
}

// read takes a record by itself.
func (r *Restorer) read(k, value []byte) error {
	if len(k) < 2 {
		return fmt.Errorf("key %x: %w", k, errBadRecord)
	}
	d, rest := decode(value), string(k[1:])
	switch k[0] {
	case dialerKey:
		r.dialer(Peer(rest), d)
	case responderKey:
		r.responder(Peer(rest), d)
	case endedKey:
		r.ended(rest, d)
	case historyKey:
		r.remembered(rest, d)
	case inboundKey:
		r.inbound(rest, d)
	case outboundKey:
		r.outbound(rest, d)
	case blameKey:
		b := &blame{peer: Peer(rest), count: d.number(), until: d.time(), rule: d.text()}
		r.m.blamed[b.peer] = b
	default:
		d.fail()
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail()
	}
	if d.err != nil {
		return fmt.Errorf("key %x: %w", k, d.err)
	}
	return nil
}

func (r *Restorer) dialer(id Peer, d *decoder) {
	side := &r.m.peer(id).dialer
	side.epoch, side.next, side.known, side.halt = d.number(), d.number(), d.number(), haltError(d.number())
	bits := d.number()
	side.acked, side.adopted, side.unconfirmed = bits&1 != 0, bits&2 != 0, bits&4 != 0
	side.confirm = side.unconfirmed
	side.low = side.next
}

func (r *Restorer) responder(id Peer, d *decoder) {
	side := &r.m.peer(id).responder
	side.epoch, side.ended.low = d.number(), d.number()
}

func (r *Restorer) ended(key string, d *decoder) {
	if len(key) <= 8 {
		d.fail()
		return
	}
	id, block := key[:len(key)-8], binary.BigEndian.Uint64([]byte(key[len(key)-8:]))
	if block > lastSequence/blockSize {
		d.fail()
		return
	}
	e := &r.m.peer(Peer(id)).responder.ended
	for range d.number() {
		first, more := d.number(), d.number()
		if d.err != nil || first >= blockSize || more >= blockSize-first {
			d.fail()
			return
		}
		e.add(block*blockSize+first, block*blockSize+first+more)
	}
	e.written[block] = struct{}{}
	clear(e.changed)
}

func (r *Restorer) remembered(serial string, d *decoder) {
	if len(serial) != 8 {
		d.fail()
		return
	}
	h := &remembered{serial: binary.BigEndian.Uint64([]byte(serial))}
	h.Name.Dialer = Peer(d.text())
	copy(h.Name.Tag[:], d.text())
	h.Peer = Peer(d.text())
	h.Dialer, h.Responder = DialerState(d.small()), ResponderState(d.small())
	h.RequestSize, h.ReplySize = int64(d.number()), int64(d.number())
	h.Lane, h.Key = d.text(), d.text()
	h.Made, h.Ended, h.Deadline = d.time(), d.time(), d.time()
	copy(h.RequestHash[:], d.text())
	h.Reason = d.text()
	bits := d.number()
	h.Acknowledged, h.Taken, h.PossiblySeen = bits&1 != 0, bits&2 != 0, bits&4 != 0
	if d.err == nil {
		r.m.history.add(h)
		r.m.history.serial = max(r.m.history.serial, h.serial)
		if h.Key != "" {
			r.m.keys[key{h.Peer, h.Key}] = keyed{h.Name, h.RequestHash}
		}
	}
}

func (r *Restorer) outbound(tag string, d *decoder) {
	x := &outbound{peer: r.m.peer(Peer(d.text())), name: Name{Dialer: r.m.config.Self}}
	if copy(x.name.Tag[:], tag) != len(wire.Tag{}) {
		d.fail()
		return
	}
	x.timer.owner = x
	x.epoch = d.number()
	x.seq, x.outcome, x.ordinal = d.number(), DialerState(d.small()), d.number()
	bits := d.number()
	x.sent, x.acked, x.taken, x.possiblySeen, x.committed = bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0, bits&16 != 0
	x.wrote, x.resent = x.sent, x.sent
	x.lane, x.key = d.text(), d.text()
	x.deadline, x.made, x.ended = d.time(), d.time(), d.time()
	x.payload, x.reply = d.payload(), d.payload()
	x.reason = d.text()
	for range d.number() {
		if d.err != nil {
			return
		}
		x.addresses = append(x.addresses, d.text())
	}
	switch {
	case x.outcome == 0:
		x.state = Suspended // until the allow list says otherwise
	case bits&32 != 0:
		x.state, x.retold = Cancelling, true
	default:
		x.state, x.retold = x.outcome, true
	}
	r.outs = append(r.outs, x)
}

func (r *Restorer) inbound(key string, d *decoder) {
	y := &inbound{recovered: true}
	n := copy(y.name.Tag[:], key)
	y.name.Dialer = Peer(key[n:])
	y.peer = r.m.peer(y.name.Dialer)
	y.timer.owner = y
	y.seq, y.state, y.ordinal = d.number(), ResponderState(d.small()), d.number()
	y.refusal, y.limit = wire.Refusal(d.small()), d.number()
	y.possiblySeen = d.number()&1 != 0
	y.lane = d.text()
	y.deadline, y.arrived = d.time(), d.time()
	y.payload, y.reply = d.payload(), d.payload()
	y.reason = d.text()
	if y.state == Delivered {
		y.state = Stored // no application of this run has it
	}
	if n != len(wire.Tag{}) || y.name.Dialer == "" {
		d.fail()
	}
	r.ins = append(r.ins, y)
}

// Done ends the recovery. The machine admits nobody until the allow list's
// members are stepped; requests of earlier runs are then delivered first.
func (r *Restorer) Done(now time.Time) *Machine {
	m := r.m
	for _, x := range r.outs {
		if x.peer.torn == nil {
			r.named(x.payload, x.reply)
		}
		m.ordinal = max(m.ordinal, x.ordinal)
	}
	for _, y := range r.ins {
		if y.peer.torn == nil {
			r.named(y.payload, y.reply)
		}
		m.ordinal = max(m.ordinal, y.ordinal)
	}
	r.setAside(now)
	slices.SortFunc(r.outs, bySeq)
	for _, x := range r.outs {
		if x.key != "" {
			m.keys[key{x.peer.id, x.key}] = keyed{x.name, x.payload.Hash}
		}
		d := &x.peer.dialer
		m.made[x.name.Tag] = x
		d.kept++
		if x.state == Cancelling && x.epoch != d.epoch {
			x.state = x.outcome // a later epoch has ended it
		}
		d.stored += x.reply.Size
		m.room.replyBytes += x.reply.Size
		if x.outcome == 0 || x.state == Cancelling {
			m.enter(x)
			x.peer.addresses = x.addresses // of the latest
			d.low = min(d.low, x.seq)
			if x.outcome == 0 && d.halt != nil {
				x.state = Halted
			}
			x.arm(m)
		}
	}
	slices.SortFunc(r.outs, func(a, b *outbound) int { return cmp.Compare(a.ordinal, b.ordinal) })
	for _, x := range r.outs {
		if x.outcome != 0 && !x.committed {
			m.outbox.push(x)
		}
	}
	m.trimHistory(now)
	m.keepOutAgain(now)
	for _, p := range m.inOrder() {
		m.touch(p)
	}
	return m
}

func (r *Restorer) named(payloads ...Payload) {
	for _, p := range payloads {
		if p.Number != 0 {
			r.numbers[p.Number] = struct{}{}
		}
	}
}

// Numbers are those of the payloads that must be there, in no order; after Done. A
// payload of another number is what a crash left over. Of a torn peer those are named
// that are stored, for which stored is asked: one that is missing is no damage, but
// one more thing of which the peer's records make no sense.
func (r *Restorer) Numbers(stored func() (map[uint64]struct{}, error)) (iter.Seq[uint64], error) {
	if len(r.m.torn) > 0 {
		have, err := stored()
		if err != nil {
			return nil, err
		}
		for _, p := range r.m.torn {
			r.namedAside(p.torn, have)
		}
	}
	return maps.Keys(r.numbers), nil
}
