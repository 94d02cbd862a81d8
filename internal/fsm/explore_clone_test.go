package fsm

import (
	"container/list"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"golang.org/x/time/rate"

	"github.com/parley-p2p/parley/internal/wire"
)

// cloner copies machines: everything that one can change, cycles and pointers
// into the middle of other things too. How each type is copied is worked out once.
type cloner struct {
	copies map[unsafe.Pointer]unsafe.Pointer // of what was copied, by what it was copied from
}

func newCloner() *cloner { return &cloner{copies: map[unsafe.Pointer]unsafe.Pointer{}} }

// machine is a copy that shares nothing with m that either of them changes.
func (c *cloner) machine(m *Machine) *Machine {
	clear(c.copies)
	of, ofTurn := copierOf(reflect.TypeFor[Machine]()), copierOf(reflect.TypeFor[turn]())
	fresh := c.copy(unsafe.Pointer(m), of)
	// The lists first, since what is in them may be met before they are.
	for _, t := range m.outbox.of {
		defer ofTurn.mend(c, c.copy(unsafe.Pointer(t), ofTurn))
	}
	of.mend(c, fresh)
	return (*Machine)(fresh)
}

// copy is a copy of what is at p, bit by bit.
func (c *cloner) copy(p unsafe.Pointer, of *copier) unsafe.Pointer {
	value := reflect.New(of.typ)
	value.Elem().Set(reflect.NewAt(of.typ, p).Elem())
	fresh := value.UnsafePointer()
	c.copies[p] = fresh
	for _, offset := range of.inner {
		c.copies[unsafe.Add(p, offset)] = unsafe.Add(fresh, offset)
	}
	return fresh
}

// copier is how values of a type are copied. A value is copied bit by bit first;
// mend then replaces in it whatever would be shared. Nil: nothing would be.
type copier struct {
	typ  reflect.Type
	mend func(*cloner, unsafe.Pointer)
	// inner are the offsets of what others point to within a value of the type.
	inner []uintptr
	parts []part // of a struct
}

var copiers = map[reflect.Type]*copier{}

// init works out all copiers, so that searchers in parallel only read them.
func init() {
	copierOf(reflect.TypeFor[*Machine]())
	copierOf(reflect.TypeFor[remembered]()) // which only a list of anything leads to
	prune()
}

// never are the types whose values nobody changes once they are made.
var never = map[reflect.Type]bool{
	reflect.TypeFor[Config](): true, reflect.TypeFor[error](): true, reflect.TypeFor[Input](): true, reflect.TypeFor[Action](): true,
	reflect.TypeFor[wire.Frame](): true, reflect.TypeFor[Payload](): true, reflect.TypeFor[rate.Limiter](): true,
}

// pointedInto are the types of fields that something outside of their struct points to.
var pointedInto = map[reflect.Type]bool{reflect.TypeFor[timer](): true, reflect.TypeFor[list.List](): true}

func copierOf(t reflect.Type) *copier {
	if c := copiers[t]; c != nil {
		return c
	}
	c := &copier{typ: t}
	copiers[t] = c // before its parts, which may lead back to it
	if never[t] || t.PkgPath() == "time" {
		return c
	}
	switch t.Kind() {
	case reflect.Pointer:
		of := copierOf(t.Elem())
		c.mend = func(cl *cloner, p unsafe.Pointer) { mendPointer(cl, (*unsafe.Pointer)(p), of) }
	case reflect.Struct:
		c.mendStruct()
	case reflect.Array:
		if of := copierOf(t.Elem()); of.mend != nil {
			panic(fmt.Sprintf("no way to copy an array of %v", t.Elem()))
		}
	case reflect.Slice:
		of := copierOf(t.Elem())
		c.mend = func(cl *cloner, p unsafe.Pointer) { mendSlice(cl, p, t, of) }
	case reflect.Map:
		of := copierOf(t.Elem())
		copy := mapKinds[t].copy
		if copy == nil {
			panic(fmt.Sprintf("no way to copy a %v: add it to mapKinds", t))
		}
		c.mend = func(cl *cloner, p unsafe.Pointer) { copy(cl, p, of) }
	case reflect.Interface:
		if t == reflect.TypeFor[any]() {
			c.mend = func(cl *cloner, p unsafe.Pointer) { mendAny(cl, (*any)(p)) }
		} else if t == reflect.TypeFor[timed]() {
			c.mend = func(cl *cloner, p unsafe.Pointer) { mendTimed(cl, (*timed)(p)) }
		} else {
			c.mend = func(_ *cloner, p unsafe.Pointer) {
				if !reflect.NewAt(t, p).Elem().IsNil() {
					panic(fmt.Sprintf("no way to copy a %v", t))
				}
			}
		}
	}
	return c
}

// part is a field in which something may have to be mended.
type part struct {
	offset uintptr
	of     *copier
}

func (c *copier) mendStruct() {
	for i := range c.typ.NumField() {
		f := c.typ.Field(i)
		of := copierOf(f.Type)
		if pointedInto[f.Type] {
			c.inner = append(c.inner, f.Offset)
		}
		for _, inner := range of.inner {
			c.inner = append(c.inner, f.Offset+inner)
		}
		c.parts = append(c.parts, part{f.Offset, of})
	}
	c.mend = func(cl *cloner, p unsafe.Pointer) {
		for _, part := range c.parts {
			part.of.mend(cl, unsafe.Add(p, part.offset))
		}
	}
}

// prune takes out the fields in which there is never anything to mend.
func prune() {
	for again := true; again; {
		again = false
		for _, c := range copiers {
			before := len(c.parts)
			c.parts = slices.DeleteFunc(c.parts, func(p part) bool { return p.of.mend == nil })
			again = again || len(c.parts) < before
			if c.typ.Kind() == reflect.Struct && len(c.parts) == 0 && c.mend != nil {
				c.mend, again = nil, true
			}
		}
	}
}

func mendPointer(cl *cloner, p *unsafe.Pointer, of *copier) {
	old := *p
	if old == nil {
		return
	}
	if copied, known := cl.copies[old]; known {
		*p = copied
		return
	}
	if pointedInto[of.typ] {
		mendInner(cl, p, of)
		return
	}
	*p = cl.copy(old, of)
	if of.mend != nil {
		of.mend(cl, *p)
	}
}

// mendInner copies what a timer belongs to, and so the timer.
func mendInner(cl *cloner, p *unsafe.Pointer, of *copier) {
	if of.typ != reflect.TypeFor[timer]() {
		panic(fmt.Sprintf("a %v is met before what it is in", of.typ))
	}
	owner := (*timer)(*p).owner
	mendTimed(cl, &owner)
	*p = cl.copies[*p]
}

func mendSlice(cl *cloner, p unsafe.Pointer, t reflect.Type, of *copier) {
	old := reflect.NewAt(t, p).Elem()
	if old.Len() == 0 {
		old.SetZero() // or an append would write into what is shared
		return
	}
	fresh := reflect.MakeSlice(t, old.Len(), old.Len())
	reflect.Copy(fresh, old)
	old.Set(fresh)
	if of.mend == nil {
		return
	}
	first := fresh.UnsafePointer()
	for i := range fresh.Len() {
		of.mend(cl, unsafe.Add(first, uintptr(i)*of.typ.Size()))
	}
}

// mendAny copies what a list holds; a Delivery is never changed.
func mendAny(cl *cloner, p *any) {
	switch v := (*p).(type) {
	case *outbound:
		*p = cloned(cl, v)
	case *inbound:
		*p = cloned(cl, v)
	case *turn:
		*p = cloned(cl, v)
	case *remembered:
		*p = cloned(cl, v)
	case nil, Delivery:
	default:
		panic(fmt.Sprintf("no way to copy a %T in a list", v))
	}
}

func mendTimed(cl *cloner, p *timed) {
	switch v := (*p).(type) {
	case *outbound:
		*p = cloned(cl, v)
	case *inbound:
		*p = cloned(cl, v)
	case *connection:
		*p = cloned(cl, v)
	case *peer:
		*p = cloned(cl, v)
	default:
		panic(fmt.Sprintf("no way to copy a timer of %T", v))
	}
}

func cloned[T any](cl *cloner, old *T) *T {
	p := unsafe.Pointer(old)
	mendPointer(cl, &p, copierOf(reflect.TypeFor[T]()))
	return (*T)(p)
}

// mapKind is how a kind of map is copied, and how its canonical form is written.
type mapKind struct {
	copy func(*cloner, unsafe.Pointer, *copier)
	form func(*former, unsafe.Pointer, *shape, *shape)
}

var mapKinds = map[reflect.Type]mapKind{
	reflect.TypeFor[map[Peer]*peer]():         kindOfMap[Peer, *peer](),
	reflect.TypeFor[map[wire.Tag]*outbound](): kindOfMap[wire.Tag, *outbound](),
	reflect.TypeFor[map[Name]*inbound]():      kindOfMap[Name, *inbound](),
	reflect.TypeFor[map[key]keyed]():          kindOfMap[key, keyed](),
	reflect.TypeFor[map[Conn]*connection]():   kindOfMap[Conn, *connection](),
	reflect.TypeFor[map[Stream]*stream]():     kindOfMap[Stream, *stream](),
	reflect.TypeFor[map[Peer]*blame]():        kindOfMap[Peer, *blame](),
	reflect.TypeFor[map[Name]*list.Element](): kindOfMap[Name, *list.Element](),
	reflect.TypeFor[map[Peer]*turn]():         kindOfMap[Peer, *turn](),
	reflect.TypeFor[map[uint64]*outbound]():   kindOfMap[uint64, *outbound](),
	reflect.TypeFor[map[string][]*outbound](): kindOfMap[string, []*outbound](),
	reflect.TypeFor[map[uint64]*inbound]():    kindOfMap[uint64, *inbound](),
	reflect.TypeFor[map[string]*inbound]():    kindOfMap[string, *inbound](),
	reflect.TypeFor[map[uint64]struct{}]():    kindOfMap[uint64, struct{}](),
}

func kindOfMap[K comparable, V any]() mapKind {
	return mapKind{
		copy: func(cl *cloner, p unsafe.Pointer, of *copier) {
			old := *(*map[K]V)(p)
			if old == nil {
				return
			}
			fresh := make(map[K]V, len(old))
			*(*map[K]V)(p) = fresh
			if len(old) == 0 {
				return
			}
			var value V
			for k, v := range old {
				if value = v; of.mend != nil {
					of.mend(cl, unsafe.Pointer(&value))
				}
				fresh[k] = value
			}
		},
		form: func(f *former, p unsafe.Pointer, key, value *shape) { formMap(f, *(*map[K]V)(p), key, value) },
	}
}
