package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// side is one node of a pair: machine, journal, application, and its ends of the
// connections.
type side struct {
	*node
	pair  *pair
	other *side
	id    Peer
	wakes time.Time // the deadline of its last turn

	ends  []*endpoint
	dials []Peer // asked for and not answered
	in    Stream // the last stream that a peer opened

	call   Call
	calls  map[Call]func(Answer)
	staged map[Call][]uint64 // payloads of a call, which only its answer makes the journal's

	// The application. What it knows it keeps with its commits: it outlives crashes.
	wishes    []*wish
	first     map[Name]int                // requests that it was given, in order
	answered  map[Name]map[wire.Hash]bool // answers that it tried to give
	done      map[Name]bool               // … and that were accepted
	given     map[Name]bool               // in this run
	inHand    []Name
	told      []Name // outcomes to commit
	toldOnce  map[Name]bool
	committed map[Name]bool
}

// wish is a request that the application made.
type wish struct {
	tag      wire.Tag
	to       Peer
	lane     string
	accepted bool
	told     DeliveryKind
	reply    wire.Hash
}

func newSide(p *pair, id Peer) *side {
	s := &side{pair: p, id: id, in: 1, first: map[Name]int{}, answered: map[Name]map[wire.Hash]bool{}, done: map[Name]bool{}, committed: map[Name]bool{}, toldOnce: map[Name]bool{}}
	s.node = newNode(p.t, smallWorld, func(c *Config) {
		c.Self, c.ExchangesPerSecond, c.BytesPerSecond = id, 5, 1<<20
		c.MaxOpenPerPeer, c.MaxOpen, c.History = 2, 3, 8
	})
	s.begin()
	return s
}

// begin is the start of a run: what only lived in memory is gone.
func (s *side) begin() {
	s.calls, s.staged, s.given, s.toldOnce = map[Call]func(Answer){}, map[Call][]uint64{}, map[Name]bool{}, map[Name]bool{}
	s.inHand, s.told, s.dials, s.ends = nil, nil, nil, nil
}

// take has the machine take inputs in one turn, and does what it says.
func (s *side) take(inputs ...Input) {
	s.pair.t.Helper()
	s.now = s.pair.now
	for _, in := range inputs {
		s.pair.note(s.id, "<-", in)
	}
	s.step(inputs...)
	s.follow()
}

// follow carries out what the last turn says, in its order.
func (s *side) follow() {
	r := s.ready
	s.wakes = r.Deadline
	for _, n := range r.Notices {
		s.pair.note(s.id, "!!", n)
		switch n.Kind {
		case Violation, PeerFenced, JournalRolledBack, PeerMismatch, PeerDiffers, RecordContradicts, PeerLostJournal:
			if n.Peer != mallory {
				s.pair.fail("%s blames %s: %v: %s", s.id, n.Peer, n.Kind, n.Detail)
			}
		}
	}
	for _, a := range r.Actions {
		s.pair.note(s.id, "->", a)
		s.do(a)
	}
	for _, a := range r.Answers {
		if a.Err != nil || len(a.Names) == 0 {
			for _, number := range s.staged[a.Call] {
				delete(s.payloads, number)
			}
		}
		delete(s.staged, a.Call)
		if done := s.calls[a.Call]; done != nil {
			delete(s.calls, a.Call)
			done(a)
		}
	}
}

func (s *side) calling(in Input, done func(Answer), payloads ...uint64) {
	s.call++
	s.calls[s.call], s.staged[s.call] = done, payloads
	s.take(WithCall(in, s.call))
}

// The application.

func (s *side) payload(text string) Payload {
	size := []int64{20, 0, largeSize, 300}[s.pair.choose(4)]
	if size == 0 {
		return Payload{Hash: hashOf("")}
	}
	s.number++
	p := Payload{Hash: hashOf(text), Size: size, Number: s.number}
	if size <= wire.MaxInline {
		p.Inline = make([]byte, size)
	} else {
		s.payloads[p.Number] = true
	}
	return p
}

func (s *side) request() {
	p := s.pair
	p.tags++
	w := &wish{tag: tag(p.tags), to: s.other.id, lane: []string{"", "lane"}[p.choose(2)]}
	o := Outgoing{Tag: w.tag, Lane: w.lane, Dialable: true, Payload: s.payload(fmt.Sprint("request ", p.tags))}
	switch p.choose(8) {
	case 1:
		o.Deadline = p.now.Add(15 * second)
	case 2:
		if p.mallory != nil && s == p.sides[0] {
			w.to = mallory
		}
	}
	o.Peer = w.to
	s.wishes = append(s.wishes, w)
	s.calling(Enqueue{Requests: []Outgoing{o}}, func(a Answer) { w.accepted = a.Err == nil }, large(o.Payload)...)
}

// large is the payload's number, if it is in the journal before its record.
func large(p Payload) []uint64 {
	if p.Inline == nil && p.Number != 0 {
		return []uint64{p.Number}
	}
	return nil
}

func (s *side) apply() { s.applied() }

// applied has the application take an event; false: there is none.
func (s *side) applied() bool {
	d, ok := s.m.Deliver()
	if !ok {
		return false
	}
	p := s.pair
	p.note(s.id, "is told", d)
	switch d.Kind {
	case RequestReceived:
		s.asked(d)
	case RequestAbandoned:
		s.inHand = slices.DeleteFunc(s.inHand, func(n Name) bool { return n == d.Name })
		s.take(Taken{d.Name})
	default:
		s.outcome(d)
	}
	return true
}

func (s *side) asked(d Delivery) {
	p := s.pair
	key := "i" + string(d.Name.Tag[:]) + string(d.Name.Dialer)
	honest := d.Name.Dialer != mallory
	switch {
	case s.durable[key] == nil:
		p.fail("%s is given a request that isn't durable", s.id)
	case honest && s.given[d.Name]:
		p.fail("%s is given a request twice in one run", s.id)
	case honest && s.done[d.Name]:
		p.fail("%s is given a request that it has answered", s.id)
	case honest && d.PossiblySeen:
		p.fail("%s is told that it may have seen a request, and no journal was lost", s.id)
	case s.first[d.Name] != 0 && !d.Redelivered && honest:
		p.fail("%s is given a request as new, after a crash", s.id)
	}
	if d.Payload.Number != 0 && !s.payloads[d.Payload.Number] {
		p.fail("%s is given a request whose payload is gone", s.id)
	}
	if s.first[d.Name] == 0 {
		s.first[d.Name] = len(s.first) + 1
	}
	s.given[d.Name] = true
	s.inHand = append(s.inHand, d.Name)
	s.take(Taken{d.Name})
}

func (s *side) outcome(d Delivery) {
	p := s.pair
	w := s.wishes[slices.IndexFunc(s.wishes, func(w *wish) bool { return w.tag == d.Name.Tag })]
	switch {
	case s.durable["o"+string(w.tag[:])] == nil:
		p.fail("%s is told an outcome that isn't durable", s.id)
	case s.toldOnce[d.Name] || s.committed[d.Name]:
		p.fail("%s is told an outcome again: in this run %v, committed %v", s.id, s.toldOnce[d.Name], s.committed[d.Name])
	case w.told != 0 && (w.told != d.Kind || w.reply != d.Payload.Hash):
		p.fail("%s is told %v, after %v", s.id, d.Kind, w.told)
	case d.Kind == ReplyReceived && w.to == s.other.id && !s.other.answered[d.Name][d.Payload.Hash]:
		p.fail("%s is told a reply that nobody gave", s.id)
	case d.Payload.Number != 0 && !s.payloads[d.Payload.Number]:
		p.fail("%s is told a reply whose payload is gone", s.id)
	}
	w.told, w.reply = d.Kind, d.Payload.Hash
	s.toldOnce[d.Name] = true
	s.told = append(s.told, d.Name)
}

func (s *side) respond() { s.answers() }

// answers gives one answer that is due.
func (s *side) answers() bool {
	if len(s.inHand) == 0 {
		return false
	}
	at := s.pair.choose(len(s.inHand))
	name := s.inHand[at]
	s.inHand = slices.Delete(s.inHand, at, at+1)
	if s.answered[name] == nil {
		s.answered[name] = map[wire.Hash]bool{}
	}
	reply := s.payload(fmt.Sprint("reply ", name, len(s.answered[name])))
	s.answered[name][reply.Hash] = true
	s.calling(Respond{Name: name, Payload: reply}, func(a Answer) { s.done[name] = a.Err == nil }, large(reply)...)
	return true
}

func (s *side) refuse() {
	if len(s.inHand) > 0 {
		name := s.inHand[0]
		s.inHand = s.inHand[1:]
		s.calling(Refuse{Name: name, Reason: "no"}, func(a Answer) { s.done[name] = a.Err == nil })
	}
}

func (s *side) cancel() {
	if len(s.wishes) > 0 {
		w := s.wishes[len(s.wishes)-1-s.pair.choose(min(4, len(s.wishes)))]
		s.take(Cancel{Name: Name{s.id, w.tag}})
	}
}

func (s *side) commit() { s.commits() }

func (s *side) commits() bool {
	if len(s.told) == 0 {
		return false
	}
	name := s.told[0]
	s.told = s.told[1:]
	s.calling(Commit{Name: name}, func(a Answer) { s.committed[name] = s.committed[name] || a.Err == nil })
	return true
}

func (s *side) hangup() { s.take(Hangup{s.other.id}) }
func (s *side) unlist() { s.take(Unlisted{Peer: s.other.id}) }
func (s *side) list()   { s.take(Listed{Peer: s.other.id}) }

// restarts ends the process in order.
func (s *side) restarts() {
	s.pair.note(s.id, "restarts", nil)
	s.again(false)
}

// crashes ends the process within a turn: before it is written, or before
// anything that it says is done.
func (s *side) crashes() {
	s.pair.note(s.id, "crashes", nil)
	s.now = s.pair.now
	switch s.pair.choose(3) {
	case 1:
		s.m.Step(s.now, Tick{})
		s.turn() // written, and nothing done
	case 2:
		if len(s.wishes) > 0 {
			s.m.Step(s.now, Cancel{Name: Name{s.id, s.wishes[0].tag}})
			s.m.Ready(s.now) // not even written
		}
	}
	s.again(true)
}

func (s *side) again(crash bool) {
	ends := s.ends
	s.begin()
	if s.pair.mallory != nil && s == s.pair.mallory.at {
		*s.pair.mallory = *newHostile(s)
	}
	for _, e := range ends {
		e.open = false
	}
	s.restart(crash)
	s.wakes = s.ready.Deadline
	s.follow()
	s.take(Listed{Peer: s.other.id})
	if s.pair.mallory != nil && s == s.pair.mallory.at {
		s.take(Listed{Peer: mallory})
	}
}

// checkSaid looks for what a frame says on the disk.
func (s *side) checkSaid(f wire.Frame, to Peer) {
	inbound := func() (found bool) {
		for key, value := range s.durable {
			if key[0] == inboundKey && key[17:] == string(to) {
				d := decode(value)
				found = found || d.number() == f.Seq
			}
		}
		return found
	}
	r := &s.m.peer(to).responder
	over := r.epoch > f.Epoch || r.ended.has(f.Seq)
	switch {
	case f.Kind == wire.Request || f.Kind == wire.Resume:
		if value := s.durable["o"+string(f.Tag[:])]; value == nil && s.m.history.find(Name{s.id, f.Tag}) == nil {
			s.pair.fail("%s sends %v before it is durable", s.id, f.Kind)
		}
	case f.Kind == wire.Ack && f.Of == wire.OfRequest, f.Kind == wire.Reply:
		if !over && !inbound() {
			s.pair.fail("%s sends %s before it is durable", s.id, frameName(f))
		}
	case f.Kind == wire.Ack && f.Of == wire.OfReply:
		x := s.m.peer(to).dialer.open[f.Seq]
		if x != nil && x.peer.dialer.epoch == f.Epoch {
			s.pair.fail("%s acknowledges a reply of an exchange that is open", s.id)
		}
		if !maps.EqualFunc(s.written, s.durable, bytes.Equal) {
			s.pair.fail("%s acknowledges a reply before it is durable", s.id)
		}
	}
}
