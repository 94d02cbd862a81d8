package fsm

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Describe is one line about a record of the journal, for a person: what it is
// and what it says, never a payload. peer writes a peer ID; nil: in hex. A
// record that this version can't read is described as far as its key goes.
func Describe(key, value []byte, peer func(Peer) string) string {
	if peer == nil {
		peer = func(id Peer) string { return hex.EncodeToString([]byte(id)) }
	}
	r := Restore(Config{}) // so that the form of a record is known in one place
	if err := r.read(key, value); err != nil {
		return fmt.Sprintf("unreadable, %d bytes: %v", len(value), err)
	}
	l := line{peer: peer}
	switch key[0] {
	case dialerKey:
		l.dialerSide(&r.m.peer(Peer(key[1:])).dialer)
	case responderKey:
		l.responderSide(&r.m.peer(Peer(key[1:])).responder)
	case endedKey:
		l.ended(&r.m.peer(Peer(key[1 : len(key)-8])).responder)
	case historyKey:
		for _, e := range r.m.history.names {
			l.remembered(e.Value.(*remembered))
		}
	case inboundKey:
		l.inbound(r.ins[0])
	case outboundKey:
		l.outbound(r.outs[0])
	case blameKey:
		l.blame(r.m.blamed[Peer(key[1:])])
	}
	return l.String()
}

// Trouble is what an operator has to know of a record: that this version can't read
// it, or that the peer it is about is halted, and why. Nil: nothing.
func Trouble(key, value []byte) (Peer, error) {
	r := Restore(Config{})
	if err := r.read(key, value); err != nil {
		return "", err
	}
	if key[0] != dialerKey {
		return "", nil
	}
	d := &r.m.peer(Peer(key[1:])).dialer
	return d.peer.id, d.halt
}

// line is a description as it grows.
type line struct {
	strings.Builder // of one record, of which MaxReason is the most
	peer            func(Peer) string
}

func (l *line) add(format string, args ...any) { fmt.Fprintf(l, format, args...) }

// when adds words that hold only sometimes.
func (l *line) when(holds bool, words string) {
	if holds {
		l.add(", %s", words)
	}
}

func (l *line) dialerSide(d *dialerSide) {
	l.add("dialer to %s: epoch %d, next %d", l.peer(d.peer.id), d.epoch, d.next)
	l.when(d.acked, "acknowledged")
	l.when(d.adopted, "adopted")
	l.when(d.unconfirmed, "unconfirmed")
	if d.known != 0 {
		l.add(", the peer knows epoch %d", d.known)
	}
	if d.halt != nil {
		l.add(", %v", d.halt)
	}
}

func (l *line) blame(b *blame) {
	l.add("%s broke the protocol %d times, last: %s; kept out until %s", l.peer(b.peer), b.count, b.rule, b.until.UTC().Format(time.RFC3339))
}

func (l *line) responderSide(r *responderSide) {
	l.add("responder to %s: epoch %d, ended below %d", l.peer(r.peer.id), r.epoch, r.ended.low)
}

func (l *line) ended(r *responderSide) {
	l.add("ended by %s", l.peer(r.peer.id))
	for i, s := range r.ended.spans {
		if i == 8 {
			l.add(" and %d more spans", len(r.ended.spans)-i)
			break
		}
		l.add(", %d", s.first)
		if s.last > s.first {
			l.add(" to %d", s.last)
		}
	}
}

func (l *line) outbound(x *outbound) {
	l.add("made %x for %s: seq %d of epoch %d, %s", x.name.Tag, l.peer(x.peer.id), x.seq, x.epoch, x.standing())
	l.when(x.sent, "sent")
	l.when(x.acked, "acknowledged")
	l.when(x.taken, "taken")
	l.when(x.possiblySeen, "possibly seen")
	l.when(x.committed, "committed")
	l.name("lane", x.lane)
	l.name("key", x.key)
	l.moment("made", x.made)
	l.moment("deadline", x.deadline)
	l.moment("ended", x.ended)
	l.payload("request", x.payload)
	if x.outcome == Answered {
		l.payload("reply", x.reply)
	}
	l.name("reason", x.reason)
}

// standing is what a record says of an exchange's state: an open one's depends
// on connections, and isn't written down.
func (x *outbound) standing() string {
	switch {
	case x.outcome == 0:
		return "open"
	case x.state == Cancelling:
		return "cancelling, " + stateWord(dialerStates[:], x.outcome)
	}
	return stateWord(dialerStates[:], x.outcome)
}

func (l *line) inbound(y *inbound) {
	l.add("asked %x by %s: seq %d, %s", y.name.Tag, l.peer(y.peer.id), y.seq, stateWord(responderStates[:], y.state))
	if y.refusal != 0 {
		l.add(" %s", y.refusal)
	}
	l.when(y.possiblySeen, "possibly seen")
	l.name("lane", y.lane)
	l.moment("arrived", y.arrived)
	l.moment("deadline", y.deadline)
	l.payload("request", y.payload)
	if y.state == Replying && y.refusal == 0 {
		l.payload("reply", y.reply)
	}
	l.name("reason", y.reason)
}

func (l *line) remembered(h *remembered) {
	if h.Dialer != 0 {
		l.add("history %d: made %x for %s, %s", h.serial, h.Name.Tag, l.peer(h.Peer), stateWord(dialerStates[:], h.Dialer))
	} else {
		l.add("history %d: asked %x by %s, %s", h.serial, h.Name.Tag, l.peer(h.Peer), stateWord(responderStates[:], h.Responder))
	}
	l.when(h.Acknowledged, "acknowledged")
	l.when(h.Taken, "taken")
	l.when(h.PossiblySeen, "possibly seen")
	l.name("lane", h.Lane)
	l.name("key", h.Key)
	l.moment("made", h.Made)
	l.moment("deadline", h.Deadline)
	l.moment("ended", h.Ended)
	l.add(", request of %d bytes, reply of %d", h.RequestSize, h.ReplySize)
	l.name("reason", h.Reason)
}

func (l *line) name(what, s string) {
	if s != "" {
		l.add(", %s %q", what, s)
	}
}

func (l *line) moment(what string, t time.Time) {
	if !t.IsZero() {
		l.add(", %s %s", what, t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
}

// payload says where a payload is, if it is anywhere: not what is in it.
func (l *line) payload(what string, p Payload) {
	l.add(", %s of %d bytes", what, p.Size)
	if p.Hash != (wire.Hash{}) {
		l.add(" (%x…)", p.Hash[:4])
	}
	if p.Number != 0 {
		l.add(" as payload %d", p.Number)
	}
}

// stateWord is a state's word, or its number where a later version wrote it.
func stateWord[S DialerState | ResponderState](words []string, s S) string {
	if int(s) < len(words) && words[s] != "" {
		return words[s]
	}
	return fmt.Sprintf("state %d", s)
}
