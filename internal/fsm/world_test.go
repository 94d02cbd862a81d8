package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// world is everything around one machine: an application, two peers that speak
// the protocol well, badly or falsely, connections that break, and a disk that
// forgets what wasn't synced. What happens next is chosen by eight bytes a step,
// so that a failure can be cut down to its shortest cause.
type world struct {
	*node
	links   map[Conn]*link
	dialing []Peer
	remotes map[Peer]*remote
	tags    int
	calls   Call
	staged  map[Call][]Outgoing // large payloads that a refused call leaves to be dropped
	answers map[Call]Payload

	toldOnce  map[Name]bool       // outcomes told in this run
	asked     map[string]bool     // requests told in this run, by name, epoch and number
	committed map[Name]bool       // durably: never to be told again
	commits   map[Call]Name       // waited for
	history   []string            // what happened, for a reader of the failure
	late      map[Stream]bool     // a frame came on it after it was reset here
	offers    map[Stream]Offered  // undecided
	dropped   map[Stream]bool     // in this turn: what is sent on them wasn't known to be in vain
	ended     map[Peer]endedThere // when the turn began

	honesty int // of the peers in this story: the greater, the fewer falsified frames
	bytes   []byte
	turns   int
	stored  *Machine // what disk has found in this turn
}

// link is a connection as the P2P protocol sees it.
type link struct {
	id      Conn
	peer    Peer
	closing bool
	broke   bool // its peer, the protocol: the P2P protocol closes it unasked
	clean   bool
	streams []Stream // open, of both sides
	over    []Stream // ended
	greeted uint64   // the epoch of the last HELLO that was sent on it
	reading map[Stream]Offered
}

// remote is a peer in both its roles.
type remote struct {
	epoch, next uint64
	asked       []Send // REQUEST, RESUME and CANCEL that it was sent
	answered    []Send // REPLY and REJECT that it was sent
}

// endedThere is which of a peer's first exchanges are over.
type endedThere struct {
	epoch uint64
	seqs  []uint64
}

func smallWorld(c *Config) {
	c.MaxQueuedPerPeer, c.MaxQueued, c.MaxOpenPerPeer, c.MaxOpen = 6, 9, 4, 6
	c.MaxMessageSize, c.MaxStoredPerPeer, c.MaxStored = 100_000, 250_000, 400_000
	c.MaxStreams, c.History, c.HistoryAge = 3, 4, 1000*time.Hour
	c.DisconnectionTimeout = 20 * second
	c.KeepOutMax, c.ExchangesPerSecond, c.BytesPerSecond = 10*second, 1, 20_000
}

func newWorld(t testing.TB) *world {
	w := &world{
		node: newNode(t, smallWorld), links: map[Conn]*link{}, remotes: map[Peer]*remote{},
		staged: map[Call][]Outgoing{}, answers: map[Call]Payload{}, commits: map[Call]Name{},
		toldOnce: map[Name]bool{}, asked: map[string]bool{}, committed: map[Name]bool{}, late: map[Stream]bool{}, offers: map[Stream]Offered{},
		dropped: map[Stream]bool{}, ended: map[Peer]endedThere{},
	}
	for _, p := range []Peer{alice, bob} {
		w.remotes[p] = &remote{epoch: 5, next: 1}
		w.m.Step(w.now, Listed{Peer: p})
	}
	w.finish()
	return w
}

// choose takes the next of the step's bytes: a number below n.
func (w *world) choose(n int) int {
	if len(w.bytes) == 0 || n <= 1 {
		return 0
	}
	b := int(w.bytes[0])
	w.bytes = w.bytes[1:]
	return b % n
}

func oneOf[T any](w *world, all []T) (one T, ok bool) {
	if len(all) == 0 {
		return one, false
	}
	return all[w.choose(len(all))], true
}

// stepSize is how many bytes choose what one step is.
const stepSize = 8

// run plays a whole story.
func (w *world) run(story [][]byte) {
	w.t.Helper()
	defer func() {
		if broken := recover(); broken != nil && broken != errFailed {
			w.fail("panic: %v\n%s", broken, debug.Stack())
		} else if broken != nil {
			panic(broken)
		}
	}()
	w.honesty = 250
	for i, step := range story {
		w.bytes = step
		if i == 0 {
			w.honesty = []int{40, 100, 250}[w.choose(3)]
		}
		w.act()
		if w.choose(4) != 0 || i == len(story)-1 {
			w.finish()
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	from := max(0, len(w.history)-60)
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.history[from:], "\n"))
}

func (w *world) note(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

func (w *world) do(in Input) {
	w.note("%s %s", w.now.Sub(morning), inputName(in))
	w.m.Step(w.now, in)
}

// act is one step: what the application, a peer, the network or time does.
func (w *world) act() {
	acts := []struct {
		weight int
		act    func()
	}{
		{20, w.enqueue}, {16, w.respond}, {4, w.refuse}, {8, w.cancel}, {14, w.deliver}, {8, w.commit}, {1, w.hangup}, {1, w.pardon}, {1, w.violates},
		{3, w.renew}, {2, w.forget}, {2, w.unlist}, {4, w.list}, {1, w.setFull}, {1, w.unwait},
		{18, w.dialled}, {12, w.connected}, {12, w.closed}, {3, w.breaks}, {6, w.streamEnds}, {2, w.progress},
		{46, w.responds}, {46, w.asks}, {14, w.uploaded}, {14, w.tick}, {10, w.pause}, {2, w.restarts}, {3, w.crashes},
	}
	at := w.choose(256)
	for _, a := range acts {
		if at -= a.weight; at < 0 {
			a.act()
			return
		}
	}
	w.tick()
}

func (w *world) peer() Peer { return []Peer{alice, alice, bob}[w.choose(3)] }

// size is that of a payload; the largest is more than any side takes.
func (w *world) size() int64 { return []int64{20, 0, 20, largeSize, 20, 120_000}[w.choose(6)] }

func (w *world) payload(size int64, text string) Payload {
	p := Payload{Hash: hashOf(fmt.Sprint(text, size)), Size: size}
	if size == 0 {
		p.Hash = hashOf("")
		return p
	}
	w.number++
	p.Number = w.number
	if size <= wire.MaxInline {
		p.Inline = make([]byte, size)
	} else {
		w.payloads[p.Number] = true
	}
	return p
}

func (w *world) enqueue() {
	w.calls++
	in := Enqueue{Call: w.calls}
	for range 1 + w.choose(2) {
		w.tags++
		o := Outgoing{
			Peer: w.peer(), Tag: tag(w.tags), Lane: []string{"", "lane", ""}[w.choose(3)], Dialable: true,
			Payload: w.payload(min(w.size(), 100_000), fmt.Sprint("request ", w.tags)),
		}
		switch w.choose(8) {
		case 1:
			o.Deadline = w.now.Add(3 * second)
		case 2:
			o.Key = "key"
		case 3:
			o.Waited = true
		case 4:
			o.Addresses = []string{"there"}
		}
		in.Requests = append(in.Requests, o)
	}
	w.staged[in.Call] = in.Requests
	w.do(in)
}

// names are those of exchanges in an order that doesn't change.
func (w *world) names(ours bool) []Name {
	var all []Name
	if ours {
		for _, x := range w.m.made {
			all = append(all, x.name)
		}
	} else {
		for name := range w.m.got {
			all = append(all, name)
		}
	}
	for name := range w.m.history.names {
		if (name.Dialer == us) == ours {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Dialer, b.Dialer), cmp.Compare(string(a.Tag[:]), string(b.Tag[:])))
	})
	return all
}

func (w *world) respond() {
	name, ok := oneOf(w, w.names(false))
	if !ok {
		return
	}
	w.calls++
	in := Respond{Call: w.calls, Name: name, Payload: w.payload(min(w.size(), 100_000), "reply")}
	if w.choose(6) == 1 {
		in.Name, in.Peer = Name{}, w.peer()
	}
	w.answers[in.Call] = in.Payload
	w.do(in)
}

func (w *world) refuse() {
	if name, ok := oneOf(w, w.names(false)); ok {
		w.do(Refuse{Name: name, Reason: []string{"no", ""}[w.choose(2)]})
	}
}

func (w *world) cancel() {
	if name, ok := oneOf(w, w.names(true)); ok {
		w.do(Cancel{Name: name})
	}
}

func (w *world) commit() {
	if name, ok := oneOf(w, w.names(true)); ok {
		w.calls++
		if x := w.m.made[name.Tag]; x != nil && x.outcome != 0 {
			w.commits[w.calls] = name
		}
		w.do(Commit{Call: w.calls, Name: name})
	}
}

func (w *world) hangup() { w.do(Hangup{w.peer()}) }
func (w *world) pardon() { w.do(Pardon{Peer: w.peer()}) }
func (w *world) renew()  { w.do(Renew{Peer: w.peer()}) }
func (w *world) unlist() { w.do(Unlisted{Peer: w.peer()}) }
func (w *world) list()   { w.do(Listed{Peer: w.peer()}) }

func (w *world) forget() {
	if name, ok := oneOf(w, w.names(false)); ok {
		w.do(Forget{Name: name})
	}
}

func (w *world) setFull() {
	full := w.choose(3) == 1
	w.note("disk full: %v", full)
	w.m.SetFull(w.now, full)
}

func (w *world) unwait() {
	if name, ok := oneOf(w, w.names(true)); ok {
		w.note("unwait %x", name.Tag[12:])
		delete(w.toldOnce, name) // to a call that has gone, perhaps
		w.m.Unwait(name)
	}
}

// deliver hands events to the application, which may only be done with what is
// durable.
func (w *world) deliver() {
	w.finish()
	stored := w.disk()
	for range 1 + w.choose(3) {
		take := w.m.Deliver
		if w.choose(4) == 1 {
			take = w.m.DeliverWaited
		}
		d, ok := take()
		if !ok {
			return
		}
		w.note("told: %v %x redelivered %v", d.Kind, d.Name.Tag[12:], d.Redelivered)
		switch d.Kind {
		case RequestReceived:
			y := w.m.got[d.Name]
			if y == nil || stored.got[d.Name] == nil {
				w.fail("a request is handed out that isn't open and durable")
			}
			once := fmt.Sprint(d.Name, y.peer.responder.epoch, y.seq)
			if w.asked[once] {
				w.fail("a request is handed out twice in one run")
			}
			w.asked[once] = true
			if w.choose(4) != 1 {
				w.do(Taken{d.Name})
			}
		case RequestAbandoned:
			if w.m.got[d.Name] != nil && w.m.got[d.Name].offered {
				w.fail("an open request is told as abandoned")
			}
		default:
			if x := stored.made[d.Name.Tag]; x == nil || x.outcome == 0 {
				w.fail("an outcome is told that isn't durable")
			}
			if w.toldOnce[d.Name] || w.committed[d.Name] {
				w.fail("an outcome is told again: in this run %v, committed %v", w.toldOnce[d.Name], w.committed[d.Name])
			}
			if d.Payload.Number != 0 && !w.payloads[d.Payload.Number] {
				w.fail("a reply is told whose payload was dropped")
			}
			w.toldOnce[d.Name] = true
		}
	}
}

// The network.

func (w *world) open() []*link {
	all := slices.Collect(maps.Values(w.links))
	slices.SortFunc(all, func(a, b *link) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (w *world) dialled() {
	if len(w.dialing) == 0 {
		w.connected()
		return
	}
	p := w.dialing[0]
	w.dialing = w.dialing[1:]
	switch w.choose(6) {
	case 1:
		w.do(DialFailed{Peer: p, Err: errAbsent})
	case 2:
		w.do(DialFailed{Peer: p, Err: fmt.Errorf("dial: %w", ErrNoAddress)})
	default:
		w.link(p, true)
	}
}

func (w *world) connected() {
	if len(w.links) < 4 {
		w.link(w.peer(), false)
	}
}

func (w *world) link(p Peer, dialed bool) {
	w.conns++
	w.links[w.conns] = &link{id: w.conns, peer: p, reading: map[Stream]Offered{}}
	w.do(Connected{Conn: w.conns, Peer: p, Dialed: dialed, Address: string(p)})
}

// closed ends a connection that this node closes.
func (w *world) closed() {
	for _, l := range w.open() {
		if l.closing {
			w.end(l, l.clean && w.choose(4) != 1)
			return
		}
	}
}

func (w *world) breaks() {
	if l, ok := oneOf(w, w.open()); ok {
		w.end(l, false)
	}
}

// violates is a frame that the P2P protocol can't read. What else came on the
// connection may still be on its way.
func (w *world) violates() {
	if l, ok := oneOf(w, w.open()); ok {
		l.closing, l.clean, l.broke = true, false, true
		w.do(Violated{Conn: l.id, Rule: "a frame that can't be read"})
	}
}

func (w *world) end(l *link, clean bool) {
	delete(w.links, l.id)
	for _, s := range l.streams {
		delete(w.offers, s)
	}
	in := Disconnected{Conn: l.id, Clean: clean}
	if !clean && w.choose(3) != 1 {
		in.Err = errBroken
	}
	w.do(in)
}

func (w *world) streamEnds() {
	if l, ok := oneOf(w, w.open()); ok {
		if s, ok := oneOf(w, l.streams); ok {
			w.dropStream(l, s)
			w.do(Closed{Conn: l.id, Stream: s})
		}
	}
}

func (w *world) dropStream(l *link, s Stream) {
	w.dropped[s] = true
	l.over = append(l.over, s)
	l.streams = slices.DeleteFunc(l.streams, func(other Stream) bool { return other == s })
	delete(l.reading, s)
	delete(w.offers, s)
}

func (w *world) progress() {
	if l, ok := oneOf(w, w.open()); ok {
		if s, ok := oneOf(w, l.streams); ok {
			w.do(Progress{Conn: l.id, Stream: s})
		}
	}
}

// uploaded brings a large payload that was accepted, or one that could not be stopped.
func (w *world) uploaded() {
	for _, l := range w.open() {
		for _, s := range slices.Sorted(maps.Keys(l.reading)) {
			o := l.reading[s]
			delete(l.reading, s)
			w.do(w.arrived(l.id, s, frame{o.Frame, nil}))
			return
		}
	}
}
