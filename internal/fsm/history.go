package fsm

import (
	"container/list"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Summary is an exchange as it stands, or as it ended, without its payloads.
type Summary struct {
	Name         Name
	Peer         Peer           // the other side
	Dialer       DialerState    // zero when this node was asked
	Responder    ResponderState // zero when this node asked
	Lane, Key    string
	Made, Ended  time.Time // Ended is zero while open
	Deadline     time.Time
	RequestSize  int64
	RequestHash  wire.Hash
	ReplySize    int64
	Reason       string // of a rejection
	Acknowledged bool   // the other side has the request
	Taken        bool   // and its application took it
	PossiblySeen bool
	Failures     int       // attempts that failed since one succeeded
	PutOff       bool      // by the other side, at the last of them
	Retry        time.Time // the next attempt, where one is set
}

// history is what is remembered of ended exchanges: so many of each role, and for
// so long. The roles are counted apart, or else a peer could push out, by
// exchanges of its own, the idempotency keys of those made here.
type history struct {
	made, got list.List              // of *remembered, the oldest first: as dialer, as responder; at most Config.History each
	names     map[Name]*list.Element // of both, twice Config.History
	serial    uint64
}

// of is the list that an exchange belongs to.
func (h *history) of(r *remembered) *list.List {
	if r.Dialer != 0 {
		return &h.made
	}
	return &h.got
}

type remembered struct {
	Summary
	serial  uint64
	removed bool
	unsaved bool
}

func (h *history) init() { h.names = map[Name]*list.Element{} }

func (h *history) find(name Name) *Summary {
	if e := h.names[name]; e != nil {
		return &e.Value.(*remembered).Summary
	}
	return nil
}

// remember adds an ended exchange, and lets go what is too old or too much.
func (m *Machine) remember(now time.Time, s Summary) {
	m.history.serial++
	r := &remembered{Summary: s, serial: m.history.serial}
	m.history.add(r)
	m.save(r)
	m.trimHistory(now)
}

func (h *history) add(r *remembered) {
	if old := h.names[r.Name]; old != nil {
		// A request that came again after a journal was lost: the later counts.
		delete(h.names, r.Name)
	}
	h.names[r.Name] = h.of(r).PushBack(r)
}

func (m *Machine) trimHistory(now time.Time) {
	m.trim(now, &m.history.made)
	m.trim(now, &m.history.got)
}

func (m *Machine) trim(now time.Time, entries *list.List) {
	for e := entries.Front(); e != nil; e = entries.Front() {
		r := e.Value.(*remembered)
		if entries.Len() <= m.config.History && now.Sub(r.Ended) <= m.config.HistoryAge {
			return
		}
		entries.Remove(e)
		if m.history.names[r.Name] == e {
			delete(m.history.names, r.Name)
		}
		if k := (key{r.Peer, r.Key}); r.Key != "" && m.keys[k].name == r.Name {
			delete(m.keys, k)
		}
		r.removed = true
		m.save(r)
	}
}

// keyed is the exchange that an idempotency key stands for.
type keyed struct {
	name Name
	hash wire.Hash
}

func (x *outbound) summary() Summary {
	state := x.state
	return Summary{
		Name: x.name, Peer: x.peer.id, Dialer: state, Lane: x.lane, Key: x.key, Made: x.made, Ended: x.ended, Deadline: x.deadline,
		RequestSize: x.payload.Size, RequestHash: x.payload.Hash, ReplySize: x.reply.Size, Reason: x.reason,
		Acknowledged: x.acked, Taken: x.taken, PossiblySeen: x.possiblySeen, Failures: x.failures, PutOff: x.state == Backoff && x.putOffByPeer, Retry: x.retry,
	}
}

func (y *inbound) summary() Summary {
	return Summary{
		Name: y.name, Peer: y.peer.id, Responder: y.state, Lane: y.lane, Made: y.arrived, Ended: y.ended, Deadline: y.deadline,
		RequestSize: y.payload.Size, RequestHash: y.payload.Hash, ReplySize: y.reply.Size, Reason: y.reason,
		Acknowledged: y.state >= Stored, Taken: y.state == Delivered, PossiblySeen: y.possiblySeen, Failures: y.failed,
	}
}
