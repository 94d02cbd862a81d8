package fsm

import (
	"fmt"
	"strings"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// dialerTable is of one exchange that this node made, for alice. Frames come on
// the stream that it is bound to, on one that alice opened, or are of an epoch
// before the present one.
func dialerTable() *table {
	return &table{
		name: "dialer",
		about: strings.TrimLeft(`
The dialer's side of an exchange: what follows from every input in every state. "elsewhere" is on another stream than the one that it was
bound to, "there" on one that the peer opened; "old" is of an epoch before the present one. Records are named by what they are about.
Written by the tests of internal/fsm with -rewrite.
`, "\n"),
		states: dialerScenes(),
		inputs: dialerEvents(),
		at: func(s *scene) string {
			sum, found := s.m.Exchange(made(s.number))
			if !found {
				return "gone"
			}
			return sum.Dialer.String()
		},
	}
}

func dialerScenes() []state {
	const hour = 3600 * second
	// begin makes the subject, with a deadline, on a connection or without one.
	begin := func(n *node, number int, connected bool) *scene {
		n.m.config.DisconnectionTimeout = 24 * hour // which isn't what this is about
		n.step(Listed{Peer: alice})
		s := &scene{number: number, other: 101}
		if connected {
			s.conn = n.connect(alice, true)
		}
		for i := 1; i <= number; i++ {
			o := n.outgoing(i, "lane")
			o.Deadline = n.now.Add(hour)
			n.step(Enqueue{Requests: []Outgoing{o}})
		}
		if connected {
			s.bound = n.m.lastStream
		}
		return s
	}
	sending := func(n *node) *scene { return begin(n, 1, true) }
	then := func(before func(*node) *scene, frames ...func(*node) frame) func(*node) *scene {
		return func(n *node) *scene {
			s := before(n)
			for _, f := range frames {
				n.arrive(s.conn, s.bound, f(n))
			}
			return s
		}
	}
	ack := func(n *node) frame { return n.ack(1) }
	return []state{
		{"Queued", "queued", func(n *node) *scene { s := begin(n, 2, true); s.bound = 0; return s }},
		{"", "queued, its stream is awaited", func(n *node) *scene {
			n.m.config.MaxStreams = 1 // which another exchange has
			n.step(Listed{Peer: alice})
			s := &scene{number: 2, other: 101, conn: n.connect(alice, true)}
			n.request(1, "other")
			n.request(2, "lane")
			return s
		}},
		{"", "queued, without a connection", func(n *node) *scene { return begin(n, 2, false) }},
		{"Dialing", "dialing", func(n *node) *scene { return begin(n, 1, false) }},
		{"Sending", "sending", sending},
		{"", "sending, after RESUME", func(n *node) *scene {
			s := sending(n)
			n.step(Closed{s.conn, s.bound})
			n.wait(2 * second)
			s.bound = n.m.lastStream
			return s
		}},
		{"Awaiting", "awaiting reply", then(sending, ack)},
		{"", "awaiting reply, after RESUME", func(n *node) *scene {
			s := then(sending, ack)(n)
			n.step(broken(s.conn))
			s.conn = n.connect(alice, true)
			s.bound = n.m.lastStream
			n.arrive(s.conn, s.bound, n.ack(1))
			return s
		}},
		{"", "awaiting reply, a large one is being read", func(n *node) *scene {
			s := then(sending, ack)(n)
			large := n.largeReply(1)
			n.offer(s.conn, s.bound, large)
			s.large = &large
			return s
		}},
		{"Backoff", "backoff", func(n *node) *scene {
			s := then(sending, func(n *node) frame { return n.nack(1) })(n)
			s.bound = 0
			return s
		}},
		{"", "backoff, without a connection", func(n *node) *scene {
			s := begin(n, 1, false)
			n.step(DialFailed{Peer: alice, Err: errAbsent})
			return s
		}},
		{"Suspended", "suspended", func(n *node) *scene { s := then(sending, ack)(n); n.step(Unlisted{Peer: alice}); return s }},
		{"Halted", "halted", then(sending, ack, func(n *node) frame { return n.reject(1, wire.Mismatch) })},
		{"Cancelling", "cancelling", func(n *node) *scene { s := then(sending, ack)(n); n.step(Cancel{Name: made(1)}); return s }},
		{"", "cancelling, without a connection", func(n *node) *scene {
			s := sending(n)
			n.step(Cancel{Name: made(1)})
			n.step(broken(s.conn))
			s.conn, s.bound = 0, 0
			return s
		}},
		{"Answered", "answered", then(sending, func(n *node) frame { return n.reply(1) })},
		{"Rejected", "rejected", then(sending, func(n *node) frame { return n.reject(1, wire.Policy) })},
		{"Expired", "expired", func(n *node) *scene { s := begin(n, 1, false); n.now = n.now.Add(hour); n.step(Tick{}); return s }},
		{"Cancelled", "cancelled", func(n *node) *scene { s := begin(n, 2, true); n.step(Cancel{Name: made(2)}); return s }},
	}
}

func dialerEvents() []event {
	var all []event
	add := func(name string, apply func(*scene) bool) { all = append(all, event{name, apply}) }
	does := func(name string, in func(*scene) Input) {
		add(name, func(s *scene) bool { return s.step(in(s)) })
	}
	connected := func(in func(*scene) Input) func(*scene) bool {
		return func(s *scene) bool { return s.conn != 0 && s.step(in(s)) }
	}
	does("Cancel", func(s *scene) Input { return Cancel{Call: 1, Name: made(s.number)} })
	does("Commit", func(s *scene) Input { return Commit{Call: 1, Name: made(s.number)} })
	does("Enqueue with its tag", func(s *scene) Input {
		return Enqueue{Call: 1, Requests: []Outgoing{s.outgoing(s.number, "lane")}}
	})
	does("Hangup", func(*scene) Input { return Hangup{alice} })
	does("Renew", func(*scene) Input { return Renew{Call: 1, Peer: alice} })
	does("Listed", func(*scene) Input { return Listed{Peer: alice} })
	does("Unlisted", func(*scene) Input { return Unlisted{Peer: alice} })
	does("Connected, dialled here", func(*scene) Input { return Connected{Conn: 77, Peer: alice, Dialed: true} })
	does("Connected, dialled by the peer", func(*scene) Input { return Connected{Conn: 77, Peer: alice} })
	add("Disconnected, broken", connected(func(s *scene) Input { return broken(s.conn) }))
	add("Disconnected, clean", connected(func(s *scene) Input { return Disconnected{Conn: s.conn, Clean: true} }))
	does("DialFailed", func(*scene) Input { return DialFailed{Peer: alice, Err: errAbsent} })
	add("Closed", func(s *scene) bool { return s.bound != 0 && s.step(Closed{s.conn, s.bound}) })
	add("Progress", func(s *scene) bool { return s.bound != 0 && s.step(Progress{s.conn, s.bound}) })
	add("the exchange before it has ended", func(s *scene) bool {
		switch {
		case s.number == 1 || s.m.made[made(1).Tag].outcome != 0:
			return false
		case s.conn == 0:
			return s.step(Cancel{Name: made(1)})
		}
		return s.arrive(2, s.reply(1))
	})
	add("the large reply has come", (*scene).uploaded)
	add("its timer is due", func(s *scene) bool {
		x := s.m.made[made(s.number).Tag]
		if x == nil || x.timer.place == 0 {
			return false
		}
		s.now = x.timer.at
		return s.step(Tick{})
	})
	add("its deadline has passed", func(s *scene) bool {
		s.now = s.now.Add(time.Hour + time.Second)
		return s.step(Tick{})
	})

	seq := func(s *scene) uint64 { return uint64(s.number) }
	frames := []struct {
		name string
		make func(*scene) frame
	}{
		{"WELCOME", func(s *scene) frame { return s.welcome(0) }},
		{"WELCOME that has seen more", func(s *scene) frame { return s.welcome(9) }},
		{"CONTINUE", func(s *scene) frame { return s.goAhead(seq(s)) }},
		{"ACK of REQUEST", func(s *scene) frame { return s.ack(seq(s)) }},
		{"ACK of REQUEST, delivered", func(s *scene) frame { return s.ack(seq(s)).with(delivered) }},
		{"ACK of REQUEST, another hash", func(s *scene) frame { return s.ack(seq(s)).with(otherHash) }},
		{"ACK of REQUEST, a number not given", func(s *scene) frame { return s.ack(seq(s) + 9) }},
		{"ACK of CANCEL", func(s *scene) frame { return s.ackCancel(seq(s)) }},
		{"NACK of REQUEST", func(s *scene) frame { return s.nack(seq(s)) }},
		{"NACK of CANCEL", func(s *scene) frame { return s.nackCancel(seq(s)) }},
		{"REJECT ENDED", func(s *scene) frame { return s.reject(seq(s), wire.Ended) }},
		{"REJECT MISMATCH", func(s *scene) frame { return s.reject(seq(s), wire.Mismatch) }},
		{"REJECT MISMATCH of CANCEL", func(s *scene) frame { return s.reject(seq(s), wire.Mismatch).with(ofCancel) }},
		{"REJECT FENCED", func(s *scene) frame { return s.reject(seq(s), wire.Fenced) }},
		{"REJECT FENCED of CANCEL", func(s *scene) frame { return s.reject(seq(s), wire.Fenced).with(ofCancel) }},
		{"REJECT POLICY", func(s *scene) frame { return s.reject(seq(s), wire.Policy) }},
		{"REJECT POLICY, another tag", func(s *scene) frame { return s.reject(seq(s), wire.Policy).ofTag(99) }},
		{"REJECT TOO_LARGE", func(s *scene) frame { return s.reject(seq(s), wire.TooLarge) }},
		{"REPLY", func(s *scene) frame { return s.reply(seq(s)) }},
		{"REPLY, another tag", func(s *scene) frame { return s.reply(seq(s)).ofTag(99) }},
		{"REPLY, large", func(s *scene) frame { return s.largeReply(seq(s)) }},
		{"REPLY, too large", func(s *scene) frame { return s.reply(seq(s)).with(huge) }},
		{"REPLY to a number not given", func(s *scene) frame { return s.reply(seq(s) + 9) }},
		{"REPLY of a greater epoch", func(s *scene) frame { return s.reply(seq(s)).ofEpoch(s.epoch() + 1) }},
	}
	for _, f := range frames {
		add(f.name, func(s *scene) bool { return s.arrive(s.bound, f.make(s)) })
		add(f.name+", there", func(s *scene) bool { return s.arrive(s.other, f.make(s)) })
		if !strings.Contains(f.name, "greater") {
			add(f.name+", old", func(s *scene) bool {
				return s.arrive(max(s.bound, s.other), f.make(s).ofEpoch(s.epoch()-1).with(knownAbove))
			})
		}
	}
	return all
}

func otherHash(f *wire.Frame) { f.Hash = hashOf(fmt.Sprint("another than ", f.Seq)) }
func ofCancel(f *wire.Frame)  { f.Of = wire.OfCancel }

// knownAbove keeps a REJECT FENCED in order when its epoch was changed.
func knownAbove(f *wire.Frame) {
	if f.Refusal == wire.Fenced {
		f.Known = f.Epoch + 10
	}
}
