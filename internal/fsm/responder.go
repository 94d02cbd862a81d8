package fsm

import (
	"cmp"
	"container/list"
	"maps"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// ResponderState is where an exchange stands at the node that is asked.
type ResponderState uint8

const (
	Receiving     ResponderState = iota + 1 // room is reserved, the payload is awaited; lost with its stream
	Stored                                  // durable and acknowledged; waits for the application to take it
	Delivered                               // the application has it; waits for its answer
	Replying                                // the answer is durable; goes to the dialer until it has it
	Refused                                 // refused unread; remembered until the dialer has heard of it
	AnsweredThere                           // end: the dialer has the answer, or ended it knowing of one
	Abandoned                               // end: the dialer gave it up
)

// unanswered reports whether the request is kept, and holds its lane.
func (s ResponderState) unanswered() bool { return s >= Receiving && s <= Delivered }

// inbound is an exchange that a peer made with this node.
type inbound struct {
	peer     *peer
	seq      uint64
	name     Name
	lane     string
	deadline time.Time // the dialer's, by this node's clock
	arrived  time.Time
	ordinal  uint64 // of arrival
	payload  Payload
	reply    Payload
	refusal  wire.Refusal // in place of a reply
	reason   string
	limit    uint64

	state        ResponderState
	ended        time.Time
	possiblySeen bool
	recovered    bool // stored by an earlier run, which may have delivered it
	offered      bool // handed to the application's channel
	toldTaken    bool // the dialer was told that the application has it

	stream  *stream // where the dialer listens; nil: none, the answer waits or goes on one of ours
	timer   timer
	failed  int
	unsaved bool
	// awaitsResume: the dialer had no room for the reply, and will ask again, or will
	// have connected again.
	awaitsResume bool
	again        bool // waits in the outbox since before this run, or was held back
	entry        *list.Element
}

// responderSide is what this node knows as responder to one dialer.
type responderSide struct {
	peer        *peer
	epoch       uint64
	ended       ended
	open        map[uint64]*inbound // at most Limits.MaxOpen, by default Config.MaxOpenPerPeer
	lanes       map[string]*inbound // the unanswered one of each lane, one for each exchange
	inHand      map[Name]*inbound   // taken by the application in this run and, as far as it knows, open: likewise MaxOpenPerPeer
	replying    int
	refused     int
	stored      int64 // bytes of requests kept
	unreachable bool  // no address is known to bring a reply to
	unsaved     bool
}

// requestArrived takes a REQUEST or RESUME. Nothing is stored before all is
// checked, and nothing is acknowledged before it is stored.
func (m *Machine) requestArrived(now time.Time, s *stream, f *wire.Frame, payload Payload, unread bool) {
	p := s.conn.peer
	r := &p.responder
	if !m.enterEpoch(now, s, f) {
		return
	}
	m.endBelow(now, p, f.Low)
	y := r.open[f.Seq]
	switch {
	case f.Seq >= r.ended.low+wire.MaxOpen:
		m.violate(now, s.conn, "more than 65,536 sequences open")
	case y != nil && (y.name.Tag != f.Tag || y.payload.Hash != f.Hash || y.lane != f.Lane || y.payload.Size != int64(f.Size)):
		m.mismatch(now, s, f, y.name)
	case y != nil && y.state == Receiving && f.Kind == wire.Request:
		y.possiblySeen = y.possiblySeen || f.PossiblySeen // known only since our CONTINUE
		m.payloadArrived(now, s, y, payload, unread)
	case y != nil:
		m.repeat(now, s, y, unread)
	case r.ended.has(f.Seq):
		m.spend(s, unread)
		m.rejectRequest(s, f, wire.Reject, wire.Ended)
	case f.Size > uint64(m.config.MaxMessageSize):
		m.spend(s, unread)
		m.refuseUnread(now, s, f)
	case r.lanes[f.Lane] != nil: // which a dialer that was set back knows nothing of
		m.laneTaken(now, s, f, r.lanes[f.Lane].name, unread)
	case m.got[Name{p.id, f.Tag}] != nil:
		m.violate(now, s.conn, "a tag that is open under another sequence")
	case !m.mayTake(now, s, f, unread):
	case f.Kind == wire.Resume:
		m.receive(now, s, f)
		m.send(s, wire.Frame{Kind: wire.Continue, Epoch: f.Epoch, Seq: f.Seq}, Payload{})
	default:
		y = m.receive(now, s, f)
		m.payloadArrived(now, s, y, payload, unread)
	}
}

// mayTake reports whether there is room for a request, and whether its peer may
// begin one now. Otherwise the peer is told when to try again, and nothing of the
// request is read.
func (m *Machine) mayTake(now time.Time, s *stream, f *wire.Frame, unread bool) bool {
	p, size := s.conn.peer, int64(f.Size)
	var wait time.Duration
	over := m.room.forRequest(&m.config, p, size, m.everyone)
	if over == none {
		over, wait = m.inTime(now, p, size)
	}
	if over == none {
		return true
	}
	m.spend(s, unread)
	m.turnAway(now, s, f, over, wait)
	return false
}

// laneTaken answers a request in a lane that another is in, as often as its peer may
// begin one.
func (m *Machine) laneTaken(now time.Time, s *stream, f *wire.Frame, by Name, unread bool) {
	m.spend(s, unread)
	if over, wait := m.inTime(now, s.conn.peer, 0); over != none {
		m.turnAway(now, s, f, over, wait)
		return
	}
	m.mismatch(now, s, f, by)
}

// receive reserves room for a request whose payload is awaited.
func (m *Machine) receive(now time.Time, s *stream, f *wire.Frame) *inbound {
	p := s.conn.peer
	y := &inbound{
		peer: p, seq: f.Seq, name: Name{p.id, f.Tag}, lane: f.Lane, arrived: now, state: Receiving,
		payload: Payload{Hash: f.Hash, Size: int64(f.Size)}, possiblySeen: f.PossiblySeen || m.history.find(Name{p.id, f.Tag}) != nil, // its dialer may have been set back
	}
	y.timer.owner = y
	if f.Remaining > 0 {
		y.deadline = now.Add(f.Remaining)
	}
	m.enterInbound(y)
	m.bindInbound(now, y, s)
	return y
}

// enterInbound puts an exchange among the open ones and takes its room.
func (m *Machine) enterInbound(y *inbound) {
	r := &y.peer.responder
	r.open[y.seq] = y
	m.got[y.name] = y
	switch {
	case y.state.unanswered():
		r.lanes[y.lane] = y
		r.stored += y.payload.Size
		m.room.requestBytes += y.payload.Size
	case y.state == Replying:
		r.replying++
	case y.state == Refused:
		r.refused++
	}
	m.room.open++
}

// bindInbound ties an exchange to the stream on which its dialer listens. A
// newer one takes the place of an older, which is reset.
func (m *Machine) bindInbound(now time.Time, y *inbound, s *stream) {
	if old := y.stream; old != nil && old != s {
		old.in = nil
		m.reset(now, old)
	}
	if other := s.in; other != nil && other != y {
		m.lostStream(now, other)
	}
	y.stream, s.in = s, y
}

// payloadArrived stores the request whose room was reserved, or has it read.
func (m *Machine) payloadArrived(now time.Time, s *stream, y *inbound, payload Payload, unread bool) {
	m.bindInbound(now, y, s)
	if unread {
		m.act(Accept{Conn: s.conn.id, Stream: s.id})
		return
	}
	s.conn.useful = true
	y.state, y.ordinal = Stored, m.nextOrdinal()
	y.payload = m.store(payload)
	m.save(y)
	m.sync()
	m.stats.Requests++
	m.outbox.push(y)
	m.sendAck(s, y)
}

func (m *Machine) sendAck(s *stream, y *inbound) {
	taken := y.state == Delivered
	y.toldTaken = y.toldTaken || taken
	m.send(s, wire.Frame{Kind: wire.Ack, Of: wire.OfRequest, Epoch: y.peer.responder.epoch, Seq: y.seq, Hash: y.payload.Hash, Delivered: taken}, Payload{})
}

// repeat answers what is known already by what was answered before: a request
// is never taken twice.
func (m *Machine) repeat(now time.Time, s *stream, y *inbound, unread bool) {
	if unread {
		m.reset(now, s) // the payload isn't wanted; the dialer's RESUME is answered
		return
	}
	m.bindInbound(now, y, s)
	y.awaitsResume = false
	switch y.state {
	case Receiving:
		m.send(s, wire.Frame{Kind: wire.Continue, Epoch: y.peer.responder.epoch, Seq: y.seq}, Payload{})
	case Stored, Delivered:
		m.sendAck(s, y)
	case Replying:
		m.sendAck(s, y)
		m.sendAnswer(now, y)
	case Refused:
		m.sendAnswer(now, y)
	}
}

// mismatch: what this node knows under the number isn't what the peer means.
// Nothing is changed: one of the two journals was set back.
func (m *Machine) mismatch(now time.Time, s *stream, f *wire.Frame, name Name) {
	m.rejectRequest(s, f, wire.Reject, wire.Mismatch)
	m.mismatchNotice(now, s, name, "it means another request by a number or a lane that is taken")
}

func (m *Machine) mismatchNotice(now time.Time, s *stream, name Name, what string) {
	m.notice(Notice{Kind: PeerDiffers, Peer: s.conn.peer.id, Address: s.conn.address, Name: name, Detail: what, Time: now})
}

func (m *Machine) rejectRequest(s *stream, f *wire.Frame, kind wire.Kind, why wire.Refusal) {
	of := wire.OfRequest
	if f.Kind == wire.Cancel {
		of = wire.OfCancel
	}
	m.send(s, wire.Frame{Kind: kind, Of: of, Epoch: f.Epoch, Seq: f.Seq, Refusal: why, Known: s.conn.peer.responder.fence(why)}, Payload{})
}

func (r *responderSide) fence(why wire.Refusal) uint64 {
	if why == wire.Fenced {
		return r.epoch
	}
	return 0
}

// refuseUnread refuses a request that is too large, for good.
func (m *Machine) refuseUnread(now time.Time, s *stream, f *wire.Frame) {
	p := s.conn.peer
	if m.got[Name{p.id, f.Tag}] != nil {
		m.violate(now, s.conn, "a tag that is open under another sequence")
		return
	}
	if over := m.room.forRequest(&m.config, p, 0, m.everyone); over != none {
		m.turnAway(now, s, f, over, 0)
		return
	}
	if over, wait := m.inTime(now, p, 0); over != none { // each is written down
		m.turnAway(now, s, f, over, wait)
		return
	}
	y := &inbound{
		peer: p, seq: f.Seq, name: Name{p.id, f.Tag}, lane: f.Lane, arrived: now, state: Refused,
		payload: Payload{Hash: f.Hash, Size: int64(f.Size)}, refusal: wire.TooLarge, limit: uint64(m.config.MaxMessageSize),
	}
	y.timer.owner = y
	m.enterInbound(y)
	m.save(y)
	m.sync()
	if !s.spent {
		m.bindInbound(now, y, s)
	}
	m.send(s, m.answerFrame(y), Payload{})
}

// inOrder is every open exchange, in order of their numbers.
func (r *responderSide) inOrder() []*inbound {
	return slices.SortedFunc(maps.Values(r.open), inboundBySeq)
}

func inboundBySeq(a, b *inbound) int { return cmp.Compare(a.seq, b.seq) }
