package fsm

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Config is what a Machine is given; every field is set, see the public Config.
type Config struct {
	Self   Peer
	Jitter func() float64 // in [0, 1): the only randomness, handed in

	IdleTimeout          time.Duration
	DisconnectionTimeout time.Duration
	AckTimeout           time.Duration
	RetryMin, RetryMax   time.Duration
	PollMax              time.Duration
	KeepOutMax           time.Duration

	MaxMessageSize              int64
	MaxQueuedPerPeer, MaxQueued int
	MaxOpenPerPeer, MaxOpen     int
	MaxStoredPerPeer, MaxStored int64
	ExchangesPerSecond          int   // begun by one peer
	BytesPerSecond              int64 // of their requests
	MaxStreams                  int   // opened by this node, of one connection
	History                     int
	HistoryAge                  time.Duration
}

// Machine holds every rule and all state of the exchanges of one node. It is
// not safe for concurrent use, and touches nothing outside itself.
type Machine struct {
	config   Config
	everyone bool

	peers     map[Peer]*peer         // one for each peer; maxPeers where everyone is admitted
	made      map[wire.Tag]*outbound // open, or told and not committed: at most Config.MaxQueued
	got       map[Name]*inbound      // open: Config.MaxOpen, and one for each peer
	abandoned map[Name]*inbound      // which the application was given and has yet to hear of, before more of that peer's: as many as of got, and mediator.DeliveryRoom
	keys      map[key]keyed          // idempotency keys of made and of history: Config.MaxQueued and Config.History
	conns     map[Conn]*connection   // one for each connection
	streams   map[Stream]*stream     // one for each stream
	blamed    map[Peer]*blame        // at most maxBlamed
	torn      []*peer                // whose records contradict each other, one for each peer
	aside     map[wire.Tag]*outbound // made here for these: with made at most MaxQueued
	outbox    outbox
	history   history
	room      room

	timers      timers
	timerSerial uint64
	lastStream  Stream
	ordinal     uint64 // of arrivals and outcomes, durable order

	ready        Ready
	endsUnsynced bool      // exchanges of peers ended that a crash would bring back
	kept         uint64    // the number of the payload that was stored last
	unsaved      []durable // changed since the last Ready, for each turn
	touched      []*peer   // whose connections are to be looked at, once for each peer
	stats        Stats
}

// New makes an empty machine that admits nobody.
func New(config Config) *Machine {
	m := &Machine{
		config:    config,
		peers:     map[Peer]*peer{},
		made:      map[wire.Tag]*outbound{},
		got:       map[Name]*inbound{},
		abandoned: map[Name]*inbound{},
		aside:     map[wire.Tag]*outbound{},
		keys:      map[key]keyed{},
		conns:     map[Conn]*connection{},
		streams:   map[Stream]*stream{},
		blamed:    map[Peer]*blame{},
	}
	m.outbox.init()
	m.history.init()
	return m
}

// Step takes one input at the time now, which is the wall clock's. What follows from it is collected for
// the next Ready.
func (m *Machine) Step(now time.Time, in Input) {
	switch in := in.(type) {
	case Enqueue:
		m.enqueue(now, in)
	case Respond:
		m.respond(now, in)
	case Refuse:
		m.refuse(now, in)
	case Cancel:
		m.cancel(now, in)
	case Taken:
		m.taken(now, in.Name)
	case Commit:
		m.commit(now, in)
	case Hangup:
		m.hangup(in.Peer)
	case Renew:
		m.renewByOperator(now, in)
	case Pardon:
		m.pardonByOperator(in)
	case Forget:
		m.forget(now, in)
	case Listed:
		m.listed(now, m.peer(in.Peer), in.Limits)
		m.answer(in.Call, nil)
	case Unlisted:
		if p := m.peers[in.Peer]; p != nil {
			m.unlisted(now, p)
		}
		m.answer(in.Call, nil)
	case Everyone:
		m.admitEveryone(now)
	case Connected:
		m.connected(now, in)
	case Disconnected:
		m.disconnected(now, in)
	case Violated:
		m.violated(now, in)
	case DialFailed:
		m.dialFailed(now, in)
	case Arrived:
		m.arrived(now, in)
	case Offered:
		m.offered(now, in)
	case Closed:
		m.closed(now, in)
	case Progress:
		m.progress(now, in)
	case ClockSet:
		m.clockSet(now, in.By)
	case Tick:
	}
	m.fire(now)
}

// Ready takes what has been collected since the last one. It is only valid
// until the next Step.
func (m *Machine) Ready(now time.Time) Ready {
	for len(m.touched) > 0 { // looking after one peer may touch another
		p := m.touched[0]
		m.touched = slices.Delete(m.touched, 0, 1)
		p.isTouched = false
		m.tend(now, p)
		m.letGo(p)
	}
	for _, d := range m.unsaved {
		d.save(&m.ready.Batch)
	}
	clear(m.unsaved)
	m.unsaved = m.unsaved[:0]
	m.withhold()

	out := m.ready
	m.endsUnsynced = m.endsUnsynced && !out.Batch.Sync
	if len(m.timers) > 0 {
		out.Deadline = m.timers[0].at
	}
	m.ready = Ready{}
	return out
}

// withhold takes back the sending of payloads that are dropped in the same batch:
// an answer, say, whose exchange was cancelled before the turn was over.
func (m *Machine) withhold() {
	drop := m.ready.Batch.Drop
	if len(drop) == 0 {
		return
	}
	slices.Sort(drop)
	m.ready.Actions = slices.DeleteFunc(m.ready.Actions, func(a Action) bool {
		s, ok := a.(Send)
		if !ok || s.Payload.Number == 0 {
			return false
		}
		_, dropped := slices.BinarySearch(drop, s.Payload.Number)
		return dropped
	})
}

// peer finds or begins what is known of a peer.
func (m *Machine) peer(id Peer) *peer {
	p := m.peers[id]
	if p == nil {
		p = newPeer(id)
		p.limits = m.config.limits(Limits{})
		p.listed = m.everyone
		m.peers[id] = p
	}
	return p
}

// strange reports whether nothing is known of a peer and nothing is allowed to
// it. Such peers aren't kept.
func (m *Machine) strange(id Peer) bool { return m.peers[id] == nil && !m.everyone }

// crowded reports whether everyone is admitted, and too many have come for one more.
func (m *Machine) crowded(id Peer) bool {
	return m.everyone && m.peers[id] == nil && len(m.peers) >= maxPeers
}

// letGo forgets a peer of which nothing needs to be known, where everyone may
// come, or once it is off the allow list: else whoever was allowed to come once
// would be kept for ever.
func (m *Machine) letGo(p *peer) {
	if (m.everyone || !p.listed) && len(p.conns) == 0 && !p.dialing && !p.busy() && p.dialer.epoch == 0 && p.responder.epoch == 0 && p.dialer.halt == nil && p.limits == m.config.limits(Limits{}) {
		m.wakeAt(&p.redial, time.Time{})
		delete(m.peers, p.id)
	}
}

// inOrder is all peers, in an order that doesn't change from run to run.
func (m *Machine) inOrder() []*peer {
	return slices.SortedFunc(maps.Values(m.peers), func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
}

// touch has the peer's connections looked at before the Ready is taken.
func (m *Machine) touch(p *peer) {
	if !p.isTouched {
		p.isTouched = true
		m.touched = append(m.touched, p)
	}
}

// durable is something with a record of its own.
type durable interface {
	save(*Batch)
	mark() *bool // whether it waits to be saved
}

// save has a thing's record written with the next batch, as it then is.
func (m *Machine) save(d durable) {
	if waits := d.mark(); !*waits {
		*waits = true
		m.unsaved = append(m.unsaved, d)
	}
}

// sync has the next batch synced before anything else of its Ready happens.
func (m *Machine) sync() { m.ready.Batch.Sync = true }

// store writes a payload that came inline with the next batch, and returns it
// as it is known from then on: without its bytes.
func (m *Machine) store(p Payload) Payload {
	m.kept = p.Number
	if p.Inline != nil && p.Size > 0 {
		m.ready.Batch.Payloads = append(m.ready.Batch.Payloads, p)
	}
	p.Inline = nil
	return p
}

// drop deletes a payload with the next batch.
func (m *Machine) drop(p *Payload) {
	if p.Number != 0 {
		m.ready.Batch.Drop = append(m.ready.Batch.Drop, p.Number)
		p.Number = 0
	}
}

func (m *Machine) act(a Action) { m.ready.Actions = append(m.ready.Actions, a) }

func (m *Machine) answer(call Call, err error, names ...Name) {
	if call != 0 {
		m.ready.Answers = append(m.ready.Answers, Answer{Call: call, Names: names, Err: err})
	}
}

func (m *Machine) notice(n Notice) { m.ready.Notices = append(m.ready.Notices, n) }

// nextOrdinal numbers arrivals and outcomes in the order in which they are told.
func (m *Machine) nextOrdinal() uint64 {
	m.ordinal++
	return m.ordinal
}
