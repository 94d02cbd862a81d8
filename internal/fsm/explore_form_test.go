package fsm

import (
	"cmp"
	"container/list"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/parley-p2p/parley/internal/wire"
)

// former writes the canonical form of a state: equal forms behave alike. Times
// count from now; of numbers whose size means nothing (connections, streams,
// epochs, ordinals) only the order is written.
type former struct {
	bytes []byte
	now   time.Time
	side  int // whose machine is being written

	seen    map[unsafe.Pointer]int
	ordered [classes][]placed // numbers of which the order counts, and where they go

	alive func(Stream) bool // whether anything can still come on a stream that has ended
	conns map[Conn]*connection
}

// class is a kind of number of which only the order counts.
type class uint8

const (
	connClass class = iota
	streamClass
	streamClassB // of those that the second side opened
	epochClass
	ordinalClass
	classes
)

type placed struct {
	value uint64
	at    int
}

func newFormer() *former { return &former{seen: map[unsafe.Pointer]int{}} }

func (f *former) reset() {
	f.bytes = f.bytes[:0]
	for i := range f.ordered {
		f.ordered[i] = f.ordered[i][:0]
	}
}

// machine writes a machine.
func (f *former) machine(m *Machine, side int, now time.Time, alive func(Stream) bool) {
	clear(f.seen)
	f.side, f.now, f.alive, f.conns = side, now, alive, m.conns
	shapeOf(reflect.TypeFor[Machine]()).write(f, unsafe.Pointer(m))
}

// finish writes the ranks of the numbers of a class, which it begins anew.
func (f *former) finish(c class) {
	all := f.ordered[c]
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.value, b.value) })
	rank, last := byte(0), uint64(0)
	for _, p := range all {
		if p.value != last {
			rank++
			last = p.value
		}
		f.bytes[p.at] = rank
	}
	f.ordered[c] = all[:0]
}

// form is the whole form, once everything is written.
func (f *former) form() []byte {
	for c := range classes {
		f.finish(c)
	}
	return f.bytes
}

func (f *former) byte(b byte)        { f.bytes = append(f.bytes, b) }
func (f *former) number(n uint64)    { f.bytes = binary.AppendUvarint(f.bytes, n) }
func (f *former) text(s string)      { f.number(uint64(len(s))); f.bytes = append(f.bytes, s...) }
func (f *former) conn(c Conn)        { f.order(connClass, uint64(c)) }
func (f *former) epoch(epoch uint64) { f.order(epochClass, epoch) }
func (f *former) ordinal(of uint64)  { f.order(ordinalClass, of) }
func (f *former) order(c class, n uint64) {
	if n != 0 {
		f.ordered[c] = append(f.ordered[c], placed{n, len(f.bytes)})
	}
	f.byte(0)
}

func (f *former) bit(b bool) {
	if b {
		f.byte(1)
	} else {
		f.byte(0)
	}
}

// stream writes a stream's number as the side that is being written has it: its
// own are even, and one more than the opener's else.
func (f *former) stream(s Stream) {
	opener := f.side ^ int(s&1)
	f.byte(byte(opener))
	f.order(streamClass+class(opener), uint64(s)>>1)
}

func (f *former) moment(t time.Time) {
	if t.IsZero() {
		f.byte(0)
		return
	}
	f.byte(1)
	f.bytes = binary.AppendVarint(f.bytes, int64(t.Sub(f.now)))
}

func (f *former) frame(w *wire.Frame) {
	f.byte(byte(w.Kind))
	f.epoch(w.Epoch)
	f.number(w.Seq)
	f.byte(w.Tag[15])
	f.text(w.Lane)
	f.bytes = append(f.bytes, w.Hash[:2]...)
	f.number(w.Next)
	f.number(w.Low)
	f.number(uint64(w.Remaining))
	f.bit(w.PossiblySeen)
	f.byte(byte(w.Of))
	f.bit(w.Delivered)
	f.number(uint64(w.RetryAfter))
	f.byte(byte(w.Refusal))
	f.epoch(w.Known)
}

// shape is how the values of a type are written.
type shape struct {
	typ   reflect.Type
	write func(*former, unsafe.Pointer)
}

var shapes = map[reflect.Type]*shape{}

// exceptions are the fields that aren't written as they are, and why. Nil: not
// written at all.
var exceptions map[string]func(*former, unsafe.Pointer)

func init() {
	exceptions = map[string]func(*former, unsafe.Pointer){
		"Machine.config": nil, "Machine.stats": nil, // never looked at, or never changed
		"Machine.got": nil, "Machine.conns": nil, "Machine.streams": nil, "Machine.keys": nil, // reached through the peers
		"Machine.timerSerial": nil, "Machine.lastStream": nil, "Machine.ordinal": nil, "Machine.kept": nil, // only count
		"Machine.ready": nil, "Machine.unsaved": nil, "Machine.touched": nil, // empty after a turn
		"Machine.blamed": nil, // nobody is, or the exploration has failed
		"Machine.timers": formTimers,
		"Machine.history": func(f *former, p unsafe.Pointer) {
			h := (*history)(p)
			formList(f, &h.made)
			formList(f, &h.got)
		},
		"outbox.of": nil, "turn.place": nil,
		"peer.isTouched": nil, "peer.limits": nil, "peer.pace": nil, "peer.addresses": nil, "peer.failures": formFailures,
		"dialerSide.epoch": formEpoch, "dialerSide.known": formEpoch, "dialerSide.silent": nil, "dialerSide.unsaved": nil,
		"responderSide.epoch": formEpoch, "responderSide.unsaved": nil,
		"ended.changed":      nil,
		"outbound.epoch":     nil, // of the record, before the recovery was done
		"outbound.addresses": nil, "outbound.made": nil, "outbound.ended": nil, "outbound.unsaved": nil,
		"outbound.ordinal": formOrdinal, "outbound.failures": formFailures, "outbound.omitted": formOmitted,
		"inbound.arrived": nil, "inbound.ended": nil, "inbound.unsaved": nil, "inbound.ordinal": formOrdinal, "inbound.failed": formFailures,
		"connection.address": nil, "connection.parkable": nil, // there are streams enough
		"connection.id":          func(f *former, p unsafe.Pointer) { f.conn(*(*Conn)(p)) },
		"connection.helloStream": formHelloStream,
		"connection.held":        formHeld,
		"connection.gone":        formGone,
		"stream.id":              func(f *former, p unsafe.Pointer) { f.stream(*(*Stream)(p)) },
	}
	shapeOf(reflect.TypeFor[Machine]())
}

func formEpoch(f *former, p unsafe.Pointer)   { f.epoch(*(*uint64)(p)) }
func formOrdinal(f *former, p unsafe.Pointer) { f.ordinal(*(*uint64)(p)) }

// formFailures: after five more nothing waits any longer.
func formFailures(f *former, p unsafe.Pointer) { f.byte(byte(min(*(*int)(p), 6))) }

// formTimers writes what is due, in its order.
func formTimers(f *former, p unsafe.Pointer) {
	due := slices.Clone(*(*timers)(p))
	slices.SortFunc(due, func(a, b *timer) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.serial, b.serial)) })
	for _, t := range due {
		f.moment(t.at)
		switch owner := t.owner.(type) {
		case *outbound:
			f.number(uint64(f.seen[unsafe.Pointer(owner)]))
		case *inbound:
			f.number(uint64(f.seen[unsafe.Pointer(owner)]))
		case *connection:
			f.number(uint64(f.seen[unsafe.Pointer(owner)]))
		case *peer:
			f.number(uint64(f.seen[unsafe.Pointer(owner)]))
		}
	}
}

// formOmitted: a connection that is over answers no HELLO.
func formOmitted(f *former, p unsafe.Pointer) {
	c := *(**connection)(p)
	if c != nil && f.conns[c.id] == c {
		f.conn(c.id)
	} else {
		f.byte(0)
	}
}

// formHelloStream: a stream that is over is only remembered.
func formHelloStream(f *former, p unsafe.Pointer) {
	if s := *(**stream)(p); s != nil && s.conn.streams[s.id] == s {
		f.stream(s.id)
	} else {
		f.byte(2)
	}
}

func formHeld(f *former, p unsafe.Pointer) {
	held := *(*[]Input)(p)
	f.byte(byte(len(held)))
	for _, in := range held {
		a := in.(Arrived)
		f.stream(a.Stream)
		f.frame(&a.Frame)
	}
}

// formGone leaves out the streams on which nothing more can come.
func formGone(f *former, p unsafe.Pointer) {
	for _, s := range *(*[]Stream)(p) {
		if f.alive(s) {
			f.stream(s)
		}
	}
	f.byte(255)
}

func shapeOf(t reflect.Type) *shape {
	if s := shapes[t]; s != nil {
		return s
	}
	s := &shape{typ: t}
	shapes[t] = s
	switch t {
	case reflect.TypeFor[time.Time]():
		s.write = func(f *former, p unsafe.Pointer) { f.moment(*(*time.Time)(p)) }
		return s
	case reflect.TypeFor[timer](): // written with Machine.timers
		s.write = func(*former, unsafe.Pointer) {}
		return s
	case reflect.TypeFor[error]():
		s.write = func(f *former, p unsafe.Pointer) { f.number(haltCode(*(*error)(p))) }
		return s
	case reflect.TypeFor[Payload](): // its number only says that it is kept
		s.write = func(f *former, p unsafe.Pointer) {
			payload := (*Payload)(p)
			f.bit(payload.Number != 0)
			f.bytes = append(f.bytes, payload.Hash[:2]...)
		}
		return s
	case reflect.TypeFor[list.List]():
		s.write = func(f *former, p unsafe.Pointer) { formList(f, (*list.List)(p)) }
		return s
	case reflect.TypeFor[*list.Element](): // a place in a list that is written
		s.write = func(f *former, p unsafe.Pointer) { f.bit(*(*unsafe.Pointer)(p) != nil) }
		return s
	}
	s.byKind()
	return s
}

func (s *shape) byKind() {
	t := s.typ
	switch t.Kind() {
	case reflect.Bool:
		s.write = func(f *former, p unsafe.Pointer) { f.bit(*(*bool)(p)) }
	case reflect.Uint8:
		s.write = func(f *former, p unsafe.Pointer) { f.byte(*(*byte)(p)) }
	case reflect.Int, reflect.Int64, reflect.Uint64:
		s.write = func(f *former, p unsafe.Pointer) { f.number(*(*uint64)(p)) }
	case reflect.String:
		s.write = func(f *former, p unsafe.Pointer) { f.text(*(*string)(p)) }
	case reflect.Array:
		if t.Elem().Kind() != reflect.Uint8 {
			panic(fmt.Sprintf("no way to write a %v", t))
		}
		size := t.Len()
		s.write = func(f *former, p unsafe.Pointer) { f.bytes = append(f.bytes, unsafe.Slice((*byte)(p), size)...) }
	case reflect.Pointer:
		of := shapeOf(t.Elem())
		s.write = func(f *former, p unsafe.Pointer) { formPointer(f, *(*unsafe.Pointer)(p), of) }
	case reflect.Slice:
		of := shapeOf(t.Elem())
		s.write = func(f *former, p unsafe.Pointer) { formSlice(f, p, of) }
	case reflect.Map:
		key, value := shapeOf(t.Key()), shapeOf(t.Elem())
		form := mapKinds[t].form
		s.write = func(f *former, p unsafe.Pointer) { form(f, p, key, value) }
	case reflect.Struct:
		s.fields()
	default:
		panic(fmt.Sprintf("no way to write a %v", t))
	}
}

func (s *shape) fields() {
	type field struct {
		offset uintptr
		of     *shape
		write  func(*former, unsafe.Pointer)
	}
	var fields []field
	for i := range s.typ.NumField() {
		in := s.typ.Field(i)
		write, exception := exceptions[s.typ.Name()+"."+in.Name]
		switch {
		case exception && write != nil:
			fields = append(fields, field{in.Offset, nil, write})
		case !exception:
			fields = append(fields, field{in.Offset, shapeOf(in.Type), nil})
		}
	}
	s.write = func(f *former, p unsafe.Pointer) {
		for i := range fields {
			if write := fields[i].write; write != nil {
				write(f, unsafe.Add(p, fields[i].offset))
			} else {
				fields[i].of.write(f, unsafe.Add(p, fields[i].offset))
			}
		}
	}
}

// formPointer writes a thing where it is met first, and from then on its number.
func formPointer(f *former, p unsafe.Pointer, of *shape) {
	if p == nil {
		f.byte(0)
		return
	}
	if known, seen := f.seen[p]; seen {
		f.byte(1)
		f.number(uint64(known))
		return
	}
	f.seen[p] = len(f.seen) + 1
	f.byte(2)
	of.write(f, p)
}

func formSlice(f *former, p unsafe.Pointer, of *shape) {
	all := (*struct {
		first    unsafe.Pointer
		len, cap int
	})(p)
	f.number(uint64(all.len))
	for i := range all.len {
		of.write(f, unsafe.Add(all.first, uintptr(i)*of.typ.Size()))
	}
}

func formList(f *former, l *list.List) {
	f.number(uint64(l.Len()))
	for e := l.Front(); e != nil; e = e.Next() {
		switch v := e.Value.(type) {
		case *outbound:
			formPointer(f, unsafe.Pointer(v), shapeOf(reflect.TypeFor[outbound]()))
		case *inbound:
			formPointer(f, unsafe.Pointer(v), shapeOf(reflect.TypeFor[inbound]()))
		case *turn:
			f.text(string(v.peer))
			formList(f, &v.events)
		case *remembered:
			f.text(string(v.Name.Dialer))
			f.byte(v.Name.Tag[15])
			f.byte(byte(v.Dialer))
			f.byte(byte(v.Responder))
		case Delivery:
			f.byte(byte(v.Kind))
			f.byte(v.Name.Tag[15])
		}
	}
}

// formMap writes a map in the order of its keys.
func formMap[K comparable, V any](f *former, all map[K]V, key, value *shape) {
	f.number(uint64(len(all)))
	keys := make([]K, 0, 8)
	for k := range all {
		keys = append(keys, k)
	}
	if len(keys) > 1 {
		slices.SortFunc(keys, func(a, b K) int { return compareKeys(a, b) })
	}
	for _, k := range keys {
		v := all[k]
		if !numbered[key.typ] {
			key.write(f, unsafe.Pointer(&k))
		}
		value.write(f, unsafe.Pointer(&v))
	}
}

// numbered are the keys that their values write too.
var numbered = map[reflect.Type]bool{reflect.TypeFor[Stream](): true, reflect.TypeFor[Conn](): true}

func compareKeys[K comparable](a, b K) int {
	switch a := any(a).(type) {
	case Peer:
		return cmp.Compare(a, any(b).(Peer))
	case string:
		return cmp.Compare(a, any(b).(string))
	case uint64:
		return cmp.Compare(a, any(b).(uint64))
	case Stream:
		return cmp.Compare(a, any(b).(Stream))
	case Conn:
		return cmp.Compare(a, any(b).(Conn))
	case wire.Tag:
		return slices.Compare(a[:], tagOf(b))
	case Name:
		other := any(b).(Name)
		return cmp.Or(cmp.Compare(a.Dialer, other.Dialer), slices.Compare(a.Tag[:], other.Tag[:]))
	}
	panic(fmt.Sprintf("no order of %T", a))
}

func tagOf(b any) []byte { t := b.(wire.Tag); return t[:] }
