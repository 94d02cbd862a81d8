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
	Retry        time.Time // the next attempt, where one is set
}

// history is what is remembered of ended exchanges: so many, and for so long.
type history struct {
	entries list.List // of *remembered, the oldest first
	names   map[Name]*list.Element
	serial  uint64
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
	h.names[r.Name] = h.entries.PushBack(r)
}

func (m *Machine) trimHistory(now time.Time) {
	h := &m.history
	for e := h.entries.Front(); e != nil; e = h.entries.Front() {
		r := e.Value.(*remembered)
		if h.entries.Len() <= m.config.History && now.Sub(r.Ended) <= m.config.HistoryAge {
			return
		}
		h.entries.Remove(e)
		if h.names[r.Name] == e {
			delete(h.names, r.Name)
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
		Acknowledged: x.acked, Taken: x.taken, PossiblySeen: x.possiblySeen, Failures: x.failures, Retry: x.retry,
	}
}

func (y *inbound) summary() Summary {
	return Summary{
		Name: y.name, Peer: y.peer.id, Responder: y.state, Lane: y.lane, Made: y.arrived, Ended: y.ended, Deadline: y.deadline,
		RequestSize: y.payload.Size, RequestHash: y.payload.Hash, ReplySize: y.reply.Size, Reason: y.reason,
		Acknowledged: y.state >= Stored, Taken: y.state == Delivered, PossiblySeen: y.possiblySeen, Failures: y.failed,
	}
}
