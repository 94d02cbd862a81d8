package fsm

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// taken notes that the application has a request in hand. Its dialer is told if
// the answer doesn't follow soon.
func (m *Machine) taken(now time.Time, name Name) {
	if y := m.abandoned[name]; y != nil {
		r := &y.peer.responder
		if _, again := r.inHand[name]; again {
			delete(r.inHand, name) // now it knows
			delete(m.abandoned, name)
		} else {
			r.inHand[name] = y // the request: the news of its end follows
		}
		return
	}
	y := m.got[name]
	if y == nil || y.state != Stored {
		return
	}
	y.state = Delivered
	y.peer.responder.inHand[name] = y
	y.wake(m, now.Add(m.config.RetryMin))
}

// respond answers a request: the answer is durable before the call returns.
func (m *Machine) respond(now time.Time, in Respond) {
	y, err := m.answerable(in.Name, in.Peer, false, in.Payload.Hash)
	if err != nil || y == nil {
		m.answer(in.Call, err)
		return
	}
	y.reply = m.store(in.Payload)
	m.answered(now, y)
	m.answer(in.Call, nil, y.name)
}

// refuse rejects a request for good. The rejection travels as the reply would.
func (m *Machine) refuse(now time.Time, in Refuse) {
	y, err := m.answerable(in.Name, "", true, sha256.Sum256([]byte(in.Reason)))
	if err != nil || y == nil {
		m.answer(in.Call, err)
		return
	}
	y.refusal, y.reason = wire.Policy, in.Reason
	m.answered(now, y)
	m.answer(in.Call, nil, y.name)
}

// answerable finds the request to answer; nil when the same answer was given
// before.
func (m *Machine) answerable(name Name, from Peer, refuse bool, hash wire.Hash) (*inbound, error) {
	if from != "" {
		return m.onlyInHand(from)
	}
	y := m.got[name]
	switch {
	case y == nil:
		return nil, m.unknownInbound(name)
	case y.state == Replying && y.answerHash() == hash && refuse == (y.refusal != 0):
		return nil, nil
	case y.state == Stored || y.state == Delivered:
		return y, nil
	case y.state == Receiving:
		return nil, ErrUnknown
	}
	return nil, ErrAnswered
}

// onlyInHand is the one request of a peer that the application was given and,
// as far as it knows, may answer.
func (m *Machine) onlyInHand(from Peer) (*inbound, error) {
	p := m.peers[from]
	if p == nil || len(p.responder.inHand) == 0 {
		return nil, ErrNoRequest
	}
	if len(p.responder.inHand) > 1 {
		return nil, ErrAmbiguous
	}
	for _, y := range p.responder.inHand {
		if y.state == Abandoned {
			return nil, ErrAbandoned
		}
		return y, nil
	}
	return nil, ErrNoRequest
}

// unknownInbound is why a name names no open request.
func (m *Machine) unknownInbound(name Name) error {
	switch h := m.history.find(name); {
	case h == nil || name.Dialer == m.config.Self:
		return ErrUnknown
	case h.Responder == Abandoned:
		return ErrAbandoned
	default:
		return ErrAnswered
	}
}

// answered makes an answer durable; then it goes to the dialer.
func (m *Machine) answered(now time.Time, y *inbound) {
	r := &y.peer.responder
	r.stored -= y.payload.Size
	m.room.requestBytes -= y.payload.Size
	m.drop(&y.payload)
	m.outbox.remove(y)
	delete(r.lanes, y.lane)
	delete(r.inHand, y.name)
	r.replying++
	y.state = Replying
	m.save(y)
	m.sync()
	m.touch(y.peer)
	m.bring(now, y)
}

// bring sends an answer to its dialer: on the exchange's stream, else on one
// that this node opens; without a connection it dials, or waits to be asked.
func (m *Machine) bring(now time.Time, y *inbound) {
	if y.stream == nil {
		c := y.peer.usable()
		if c == nil {
			y.wake(m, time.Time{})
			return
		}
		s := m.take(now, c)
		if s == nil {
			y.wake(m, now.Add(m.config.RetryMin))
			return
		}
		m.bindInbound(now, y, s)
	}
	m.sendAnswer(now, y)
}

// sendAnswer sends the reply, or the rejection in its place, on the bound stream.
func (m *Machine) sendAnswer(now time.Time, y *inbound) {
	m.stats.Replies++
	m.send(y.stream, m.answerFrame(y), y.reply)
	if y.insists() {
		y.wake(m, now.Add(m.patience(y.failed)))
	}
}

// insists reports whether an answer is sent again until its dialer has it, also to
// a dialer that doesn't ask: it may have been told that its request is stored.
func (y *inbound) insists() bool {
	return y.state == Replying && !y.awaitsResume || y.state == Refused && y.refusal == wire.Policy
}

func (m *Machine) answerFrame(y *inbound) wire.Frame {
	f := wire.Frame{Kind: wire.Reply, Epoch: y.peer.responder.epoch, Seq: y.seq, Tag: y.name.Tag, Hash: y.answerHash(), Size: uint64(y.reply.Size)}
	if y.refusal != 0 {
		f.Kind, f.Of, f.Size = wire.Reject, wire.OfRequest, 0
		f.Refusal, f.Text, f.Known = y.refusal, y.reason, y.limit
	}
	return f
}

// answerHash is what the dialer's ACK of the answer must name.
func (y *inbound) answerHash() wire.Hash {
	if y.refusal != 0 {
		return sha256.Sum256([]byte(y.reason))
	}
	return y.reply.Hash
}

// due tells the dialer that the application has its request, or brings an
// answer again that wasn't acknowledged.
func (y *inbound) due(m *Machine, now time.Time) {
	switch {
	case y.state == Delivered && !y.toldTaken && y.stream != nil:
		m.sendAck(y.stream, y)
	case y.insists():
		if y.stream != nil {
			m.stats.Timeouts++
			y.failed++
			old := y.stream
			old.in, y.stream = nil, nil
			m.reset(now, old)
		}
		m.bring(now, y)
		m.touch(y.peer)
	}
}

func (y *inbound) wake(m *Machine, at time.Time) { m.wakeAt(&y.timer, at) }

// lostStream: a connection's end changes nothing but where the answer waits. Its
// dialer will ask again; if it doesn't, the answer is brought.
func (m *Machine) lostStream(now time.Time, y *inbound) {
	y.stream = nil
	switch y.state {
	case Receiving:
		m.dropInbound(y) // nothing was stored
	case Replying, Refused:
		y.failed++
		y.wake(m, now.Add(max(time.Second, m.backoff(y.failed, m.config.PollMax))))
	}
}

// awaitResume gives a dialer that has just connected the time to ask for what
// it waits for, before answers are brought to it unasked: those too for which it
// had no room, or else one that it has got from an older stream since, and whose
// acknowledgement was lost with that, would wait for ever to be asked for.
func (m *Machine) awaitResume(now time.Time, p *peer) {
	for _, y := range p.responder.inOrder() {
		if y.stream == nil {
			y.awaitsResume = false
			if y.insists() {
				y.wake(m, now.Add(time.Second))
			}
		}
	}
}

func tooLarge(what string, size, limit int64) string {
	return fmt.Sprintf("the %s of %d bytes is larger than the %d taken", what, size, limit)
}
