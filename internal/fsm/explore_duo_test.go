package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/parley-p2p/parley/internal/wire"
)

// duo is two nodes and all that is between them: one state of an exploration.
// A state that is kept is never changed: after copies what it changes.
type duo struct {
	plan  *plan
	names [2]Peer
	sides [2]*half
	lines []*cable
	conns Conn // the last
	left  budget
	asks  [maxAsks]ask
	// astray: a journal was lost or set back, of which side.
	astray  [2]bool
	renewed [2]bool // the operator of that side began a new epoch
	number  uint64  // of the last payload

	blamed  bool    // one has blamed the other, where the plan is loose
	own     [2]bool // whose half is a copy already
	failure string  // the first promise that was broken
	trace   func(format string, args ...any)
}

// maxAsks bounds the exchanges of a plan.
const maxAsks = 3

// plan is what an exploration is of, and its bounds.
type plan struct {
	name      string
	asks      []asking
	left      budget
	clockBack bool // a journal that is new has a clock that was set back
	batches   bool // turns of two inputs too
	loose     bool // whatever the journals say the other did is taken to be so
	stubborn  bool // they go on although one blames the other
	most      int  // states, beyond which the exploration is cut off; zero: none
}

// asking is an exchange to be made.
type asking struct {
	dialer   int
	lane     string
	deadline time.Duration // zero: none
}

// budget is what may still happen to disturb the two. Where there are two
// numbers they are for each side.
type budget struct {
	crashes, timers, losses, setbacks [2]int8
	breaks                            int8 // connections that break, or aren't noticed to be gone
	ends                              int8 // streams that fail
	late                              int8 // frames that come on a stream after it was reset here
	cancels, refusals                 int8
	dialFailures                      int8
	renewals                          int8 // by an operator, of a side that has halted
	full                              int8 // times that a disk is full for a while
	hangups                           int8
}

// half is one node with its clock, its journal and what it is dialling.
type half struct {
	m        *Machine
	now      time.Time
	deadline time.Time
	dialing  bool
	full     bool
	shuns    time.Time // the other, until then

	durable journal
	pending []journal // batches since the last sync, in order
	backup  journal   // of which the operator may make use
}

// journal is records in the order of their keys. Nothing in it is changed.
type journal []Record

// ask is what was promised of an exchange so far.
type ask struct {
	made      bool
	told      DeliveryKind // the outcome, in this run
	first     DeliveryKind // the outcome that was told first
	committed commitment
	given     uint8 // to the responder's application: 1 by an earlier run, 2 by this one
	hand      bool  // the application has it and may answer
	answered  uint8 // durably: 1 by a reply, 2 by a refusal
	cancelled bool
}

type commitment uint8

const (
	byTheWay commitment = iota + 1 // not waited for: a crash may undo it
	durably
)

// cable is a connection: what either end knows of it, and what is on its way.
type cable struct {
	id      Conn
	dialer  int
	there   [2]bool // the end is up, as far as its node knows
	closing [2]ending
	broken  bool // nothing more arrives that isn't on its way
	clean   bool // closed in order by one end
	flows   []*flow
}

type ending uint8

const (
	staying ending = iota
	gracefully
	atOnce
)

// flow is a stream: at its opener number, at the other end one more.
type flow struct {
	number Stream
	opener int
	queue  [2][]*Send // on their way to a side
	ended  [2]bool    // its end is on its way to the side
	over   [2]bool    // it has ended for the side
}

func (f *flow) at(side int) Stream {
	if side == f.opener {
		return f.number
	}
	return f.number + 1
}

var halves = [2]Peer{"A", "B"}

func exploreConfig(side int) Config {
	c := testConfig()
	c.Self, c.IdleTimeout = halves[side], 0
	c.RetryMin, c.RetryMax, c.PollMax = 2*second, 4*second, 4*second
	c.ExchangesPerSecond, c.BytesPerSecond = maxRate, maxByteRate
	c.HistoryAge = 1000 * time.Hour
	return c
}

func newDuo(p *plan) *duo {
	d := &duo{plan: p, names: halves, left: p.left}
	for i := range d.sides {
		d.sides[i] = &half{m: New(exploreConfig(i)), now: morning}
		d.own[i] = true
		d.turn(i, Listed{Peer: d.names[1-i]})
	}
	return d
}

// copied is a state like d, that may be changed. Its halves are d's until half
// is called.
func (d *duo) copied() *duo {
	c := *d
	c.own = [2]bool{}
	c.lines = make([]*cable, len(d.lines))
	for i, l := range d.lines {
		fresh := *l
		fresh.flows = make([]*flow, len(l.flows))
		for j, f := range l.flows {
			flow := *f
			fresh.flows[j] = &flow
		}
		c.lines[i] = &fresh
	}
	return &c
}

// half is one side's, to be changed.
func (d *duo) half(i int, cl *cloner) *half {
	if !d.own[i] {
		h := *d.sides[i]
		h.m = cl.machine(h.m)
		d.sides[i], d.own[i] = &h, true
	}
	return d.sides[i]
}

func (d *duo) fail(format string, args ...any) {
	if d.failure == "" {
		d.failure = fmt.Sprintf(format, args...)
	}
}

func (d *duo) note(format string, args ...any) {
	if d.trace != nil {
		d.trace(format, args...)
	}
}

// payload is what an application hands in, or what arrives: a few bytes.
func (d *duo) payload(hash wire.Hash) Payload {
	d.number++
	return Payload{Hash: hash, Size: 10, Number: d.number, Inline: []byte("ten bytes.")}
}

func requestOf(e int) wire.Hash { return wire.Hash{0: byte(e), 1: 'q'} }
func replyOf(e int) wire.Hash   { return wire.Hash{0: byte(e), 1: 'r'} }

func (d *duo) name(e int) Name { return Name{d.names[d.plan.asks[e].dialer], tag(e)} }

// exchange is which of the plan's a name is.
func exchange(n Name) int { return int(n.Tag[15]) }

// with is the journal after a batch.
func (j journal) with(records []Record) journal {
	all := slices.Clone(j)
	for _, r := range records {
		at, found := slices.BinarySearchFunc(all, r.Key, func(r Record, key []byte) int { return bytes.Compare(r.Key, key) })
		switch {
		case r.Value == nil && found:
			all = slices.Delete(all, at, at+1)
		case r.Value == nil:
		case found:
			all[at] = r
		default:
			all = slices.Insert(all, at, r)
		}
	}
	return all
}

// payloadKey is under which this journal keeps a payload.
const payloadKey = 'p'

func payloadRecord(number uint64, value []byte) Record {
	return Record{append([]byte{payloadKey}, fmt.Sprintf("%08d", number)...), value}
}

// commit writes a batch. What isn't synced may be lost in a crash, the last first.
func (h *half) commit(b Batch) {
	records := slices.Clone(b.Records)
	for _, p := range b.Payloads {
		records = append(records, payloadRecord(p.Number, p.Inline))
	}
	for _, n := range b.Drop {
		records = append(records, payloadRecord(n, nil))
	}
	if len(records) > 0 {
		h.pending = append(slices.Clip(h.pending), records)
	}
	if b.Sync {
		h.durable, h.pending = h.written(len(h.pending)), nil
	}
}

// written is the journal with so many of the batches that aren't synced.
func (h *half) written(batches int) journal {
	j := h.durable
	for _, records := range h.pending[:batches] {
		j = j.with(records)
	}
	return j
}

// restored is the machine that a journal gives, and whether it can be read.
func (j journal) restored(c Config, now time.Time) (*Machine, *Restorer, error) {
	r := Restore(c)
	for _, record := range j {
		if record.Key[0] == payloadKey {
			continue
		}
		if err := r.Record(record.Key, record.Value); err != nil {
			return nil, nil, err
		}
	}
	return r.Done(now), r, nil
}

// form writes the state's canonical form.
func (d *duo) form(f *former) []byte {
	f.reset()
	for i, h := range d.sides {
		f.machine(h.m, i, h.now, func(s Stream) bool { return d.alive(i, s) })
		f.bit(h.dialing)
		f.bit(h.full)
		d.formJournal(f, i)
		if d.plan.clockBack {
			f.epoch(uint64(h.now.UnixMilli()))
		}
	}
	for _, l := range d.lines {
		l.form(f)
	}
	f.bytes = append(f.bytes, unsafe.Slice((*byte)(unsafe.Pointer(&d.left)), unsafe.Sizeof(d.left))...)
	f.bytes = append(f.bytes, unsafe.Slice((*byte)(unsafe.Pointer(&d.asks)), unsafe.Sizeof(d.asks))...)
	for i := range 2 {
		f.bit(d.astray[i])
		f.bit(d.renewed[i])
	}
	return f.form()
}

// formJournal writes what the machine doesn't say of its journal: what isn't
// synced, and a backup. Of no use any more, it isn't written.
func (d *duo) formJournal(f *former, i int) {
	h := d.sides[i]
	f.now, f.side = h.now, i
	if d.left.crashes[i] > 0 || d.left.setbacks[i] > 0 {
		for _, records := range h.pending {
			f.byte(254)
			for _, r := range records {
				f.record(r)
				f.record(h.durable.find(r.Key))
			}
		}
	}
	f.byte(255)
	if d.left.setbacks[i] > 0 {
		for _, r := range h.backup {
			f.record(r)
		}
	}
	f.finish(ordinalClass)
}

func (j journal) find(key []byte) Record {
	at, found := slices.BinarySearchFunc(j, key, func(r Record, key []byte) int { return bytes.Compare(r.Key, key) })
	if found {
		return j[at]
	}
	return Record{Key: key}
}

// alive reports whether anything is on its way on a stream that a side has ended.
func (d *duo) alive(side int, s Stream) bool {
	for _, l := range d.lines {
		for _, f := range l.flows {
			if f.at(side) == s {
				return true
			}
		}
	}
	return false
}

func (l *cable) form(f *former) {
	f.conn(l.id)
	f.byte(byte(l.dialer))
	for i := range 2 {
		f.bit(l.there[i])
		f.byte(byte(l.closing[i]))
	}
	f.bit(l.broken)
	f.bit(l.clean)
	for _, fl := range l.flows {
		f.side = fl.opener
		f.stream(fl.number)
		for i := range 2 {
			f.bit(fl.ended[i])
			f.bit(fl.over[i])
			f.byte(byte(len(fl.queue[i])))
			for _, s := range fl.queue[i] {
				f.frame(&s.Frame)
			}
		}
	}
	f.byte(255)
}

// record writes one record. What it says of moments that have no consequence, and
// the numbers of payloads, are left out.
func (f *former) record(r Record) {
	f.byte(r.Key[0])
	if r.Key[0] == payloadKey {
		return
	}
	f.bit(r.Value == nil)
	if r.Key[0] != historyKey {
		f.bytes = append(f.bytes, r.Key[1:]...)
	}
	if r.Value == nil {
		return
	}
	v := decode(r.Value)
	switch r.Key[0] {
	case dialerKey:
		f.epoch(v.number())
		f.number(v.number())
		f.epoch(v.number())
		f.number(v.number())
		f.number(v.number())
	case responderKey:
		f.epoch(v.number())
		f.number(v.number())
	case historyKey:
		f.text(v.text())
		f.text(v.text())
		f.text(v.text())
		f.number(v.number())
		f.number(v.number())
	case inboundKey:
		f.number(v.number())
		f.number(v.number())
		f.ordinal(v.number())
		f.number(v.number())
		f.number(v.number())
		f.number(v.number())
		f.text(v.text())
		f.moment(v.time())
		v.time()
		f.kept(v.payload())
		f.kept(v.payload())
	case outboundKey:
		f.text(v.text())
		f.epoch(v.number())
		f.number(v.number())
		f.number(v.number())
		f.ordinal(v.number())
		f.number(v.number())
		f.text(v.text())
		f.text(v.text())
		f.moment(v.time())
		v.time()
		v.time()
		f.kept(v.payload())
		f.kept(v.payload())
		f.text(v.text())
	default:
		f.bytes = append(f.bytes, r.Value...)
	}
}

func (f *former) kept(p Payload) {
	f.bit(p.Number != 0)
	f.bytes = append(f.bytes, p.Hash[:2]...)
}
