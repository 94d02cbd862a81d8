package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// The records, by the first byte of their keys. Each value begins with the
// version of its form.
//
//	'a' peer          what this node knows as dialer towards the peer
//	'b' peer          what this node knows as responder to the peer
//	'e' peer block(8) the sequences of one block that the peer, as dialer, has ended
//	'h' serial(8)     an ended exchange, without payloads
//	'i' tag(16) peer  an exchange that the peer made, open
//	'o' tag(16)       an exchange that this node made: open, or its end not committed
//	'v' peer          a peer that broke the protocol, and until when it is kept out
//
// Numbers are varints, texts and hashes carry their length, times are wall
// milliseconds (0: none), flags are a varint of bits.
const (
	dialerKey    = 'a' // one for each peer
	responderKey = 'b' // one for each peer
	endedKey     = 'e' // wire.MaxOpen/blockSize for each peer, and one
	historyKey   = 'h' // twice Config.History
	inboundKey   = 'i' // Config.MaxOpen, and one for each peer
	outboundKey  = 'o' // Config.MaxQueued
	blameKey     = 'v' // maxBlamed

	recordVersion = 1
)

func (d *dialerSide) mark() *bool    { return &d.unsaved }
func (r *responderSide) mark() *bool { return &r.unsaved }
func (x *outbound) mark() *bool      { return &x.unsaved }
func (y *inbound) mark() *bool       { return &y.unsaved }
func (r *remembered) mark() *bool    { return &r.unsaved }
func (b *blame) mark() *bool         { return &b.unsaved }

func (b *Batch) put(key, value []byte) { b.Records = append(b.Records, Record{key, value}) }

func (d *dialerSide) save(b *Batch) {
	d.unsaved = false
	e := encode(64)
	e.numbers(d.epoch, d.next, d.known, haltCode(d.halt), flags(d.acked, d.adopted, d.unconfirmed))
	b.put(append([]byte{dialerKey}, d.peer.id...), e)
}

func (r *responderSide) save(b *Batch) {
	r.unsaved = false
	e := encode(32)
	e.numbers(r.epoch, r.ended.low)
	b.put(append([]byte{responderKey}, r.peer.id...), e)
	r.ended.save(b, r.peer.id)
}

// save writes the blocks that have changed and deletes those that are all over.
// What a record says of sequences below low is said by low.
func (e *ended) save(b *Batch, id Peer) {
	for _, block := range slices.Sorted(maps.Keys(e.written)) {
		if (block+1)*blockSize <= e.low {
			e.changed[block] = struct{}{}
		}
	}
	for _, block := range slices.Sorted(maps.Keys(e.changed)) {
		key := binary.BigEndian.AppendUint64(append([]byte{endedKey}, id...), block)
		spans := e.of(block)
		_, written := e.written[block]
		switch {
		case len(spans) > 0:
			value := encode(16 + 4*len(spans))
			value.numbers(uint64(len(spans)))
			for _, s := range spans {
				value.numbers(s.first-block*blockSize, s.last-s.first)
			}
			b.put(key, value)
			e.written[block] = struct{}{}
		case written:
			b.put(key, nil)
			delete(e.written, block)
		}
	}
	clear(e.changed)
}

func (x *outbound) save(b *Batch) {
	x.unsaved = false
	k := append([]byte{outboundKey}, x.name.Tag[:]...)
	if x.committed && x.state != Cancelling {
		b.put(k, nil)
		return
	}
	e := encode(256)
	e.text(string(x.peer.id))
	e.numbers(x.peer.dialer.epoch, x.seq, uint64(x.outcome), x.ordinal)
	e.numbers(flags(x.sent, x.acked, x.taken, x.possiblySeen, x.committed, x.state == Cancelling))
	e.text(x.lane)
	e.text(x.key)
	e.times(x.deadline, x.made, x.ended)
	e.payload(x.payload)
	e.payload(x.reply)
	e.text(x.reason)
	// So that a node that starts again knows where to dial.
	e.numbers(uint64(len(x.peer.addresses)))
	for _, a := range x.peer.addresses {
		e.text(a)
	}
	b.put(k, e)
}

func (y *inbound) save(b *Batch) {
	y.unsaved = false
	k := append(append([]byte{inboundKey}, y.name.Tag[:]...), y.peer.id...)
	if y.state == AnsweredThere || y.state == Abandoned {
		b.put(k, nil)
		return
	}
	e := encode(192)
	e.numbers(y.seq, uint64(y.state), y.ordinal, uint64(y.refusal), y.limit, flags(y.possiblySeen))
	e.text(y.lane)
	e.times(y.deadline, y.arrived)
	e.payload(y.payload)
	e.payload(y.reply)
	e.text(y.reason)
	b.put(k, e)
}

func (r *remembered) save(b *Batch) {
	r.unsaved = false
	k := binary.BigEndian.AppendUint64([]byte{historyKey}, r.serial)
	if r.removed {
		b.put(k, nil)
		return
	}
	e := encode(192)
	e.text(string(r.Name.Dialer))
	e.text(string(r.Name.Tag[:]))
	e.text(string(r.Peer))
	e.numbers(uint64(r.Dialer), uint64(r.Responder), uint64(r.RequestSize), uint64(r.ReplySize))
	e.text(r.Lane)
	e.text(r.Key)
	e.times(r.Made, r.Ended, r.Deadline)
	e.text(string(r.RequestHash[:]))
	e.text(r.Reason)
	e.numbers(flags(r.Acknowledged, r.Taken, r.PossiblySeen))
	b.put(k, e)
}

func (b *blame) save(batch *Batch) {
	b.unsaved = false
	k := append([]byte{blameKey}, b.peer...)
	if b.over {
		batch.put(k, nil)
		return
	}
	e := encode(64)
	e.numbers(b.count)
	e.times(b.until)
	e.text(b.rule)
	batch.put(k, e)
}

func haltCode(err error) uint64 {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrRolledBack):
		return 2
	case errors.Is(err, ErrMismatch):
		return 3
	default:
		return 1
	}
}

func haltError(code uint64) error {
	return [...]error{nil, ErrFenced, ErrRolledBack, ErrMismatch}[min(code, 3)]
}

func flags(bits ...bool) (n uint64) {
	for i, bit := range bits {
		if bit {
			n |= 1 << i
		}
	}
	return n
}

// encoder appends to a record: some KiB at most, as MaxLane, MaxReason and blockSize
// have it.
type encoder []byte

func encode(size int) encoder { return append(make(encoder, 0, size), recordVersion) }

func (e *encoder) numbers(numbers ...uint64) {
	for _, n := range numbers {
		*e = binary.AppendUvarint(*e, n)
	}
}

func (e *encoder) text(s string) {
	*e = binary.AppendUvarint(*e, uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) times(times ...time.Time) {
	for _, t := range times {
		ms := uint64(0)
		if !t.IsZero() {
			ms = uint64(max(t.UnixMilli(), 1))
		}
		*e = binary.AppendUvarint(*e, ms)
	}
}

func (e *encoder) payload(p Payload) {
	e.numbers(p.Number, uint64(p.Size))
	*e = append(*e, p.Hash[:]...)
}

// errBadRecord is a record that this version didn't write. The journal has
// checked its sum: it isn't damage.
var errBadRecord = errors.New("record of an unknown form: run the release that wrote it, or a later one")

// decoder takes a record apart; after the first error everything is zero.
type decoder struct {
	rest []byte
	err  error
}

func decode(value []byte) *decoder {
	d := &decoder{rest: value}
	if len(value) == 0 || value[0] != recordVersion {
		d.err = errBadRecord
		if len(value) > 0 {
			d.err = fmt.Errorf("%w: version %d, this program knows %d: use a newer one", errBadRecord, value[0], recordVersion)
		}
		return d
	}
	d.rest = value[1:]
	return d
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// small is a number of one byte: a larger one is refused, or it would pass for
// another.
func (d *decoder) small() uint8 {
	n := d.number()
	if n > math.MaxUint8 {
		d.fail()
		return 0
	}
	return uint8(n)
}

func (d *decoder) text() string {
	n := d.number()
	if uint64(len(d.rest)) < n {
		d.fail()
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) time() time.Time {
	switch ms := d.number(); {
	case ms > math.MaxInt64:
		d.fail()
	case ms != 0:
		return time.UnixMilli(int64(ms))
	}
	return time.Time{}
}

func (d *decoder) payload() (p Payload) {
	p.Number, p.Size = d.number(), int64(d.number())
	if p.Size < 0 || len(d.rest) < len(wire.Hash{}) {
		d.fail()
		return Payload{}
	}
	d.rest = d.rest[copy(p.Hash[:], d.rest):]
	return p
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errBadRecord
	}
	d.rest = nil
}
