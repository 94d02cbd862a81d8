package fsm

import (
	"strings"

	"github.com/parley-p2p/parley/internal/wire"
)

// responderTable is of one exchange that alice made, her first, in the lane "lane".
func responderTable() *table {
	return &table{
		name: "responder",
		about: strings.TrimLeft(`
The responder's side of an exchange: what follows from every input in every state. "elsewhere" is on another stream than the one that it was
bound to, "there" on another stream of the peer's. Records are named by what they are about. Written by the tests of internal/fsm with -rewrite.
`, "\n"),
		states: responderScenes(),
		inputs: responderEvents(),
		at: func(s *scene) string {
			sum, found := s.m.Exchange(asked(1))
			switch {
			case found:
				return sum.Responder.String()
			case s.m.peer(alice).responder.ended.has(1):
				return "tombstone"
			}
			return "unknown"
		},
	}
}

func responderScenes() []state {
	begin := func(n *node, frames ...frame) *scene {
		n.step(Listed{Peer: alice})
		s := &scene{number: 1}
		s.conn, s.bound = n.accept(alice)
		for _, f := range frames {
			n.arrive(s.conn, s.bound, f)
		}
		s.other = 101
		return s
	}
	delivered := func(n *node) *scene {
		s := begin(n, request(1, "lane"))
		n.told()
		return s
	}
	replying := func(n *node) *scene { s := delivered(n); n.answer(1); return s }
	return []state{
		{"", "unknown", func(n *node) *scene { return begin(n) }},
		{"Receiving", "receiving", func(n *node) *scene { return begin(n, largeResume(1, "lane")) }},
		{"", "receiving, a small one", func(n *node) *scene { return begin(n, resume(1, "lane")) }},
		{"", "receiving, its payload is being read", func(n *node) *scene {
			large := largeRequest(1, "lane")
			s := begin(n, large.with(func(f *wire.Frame) { f.Kind = wire.Resume }))
			n.offer(s.conn, s.bound, large)
			s.large = &large
			return s
		}},
		{"Stored", "stored", func(n *node) *scene {
			s := begin(n, request(1, "lane"))
			for _, ok := n.m.Deliver(); ok; _, ok = n.m.Deliver() { // handed out, and not taken yet
			}
			return s
		}},
		{"Delivered", "delivered", delivered},
		{"Replying", "replying", replying},
		{"", "replying, a rejection", func(n *node) *scene { s := delivered(n); n.step(Refuse{Name: asked(1), Reason: "no"}); return s }},
		{"", "replying, its stream is gone", func(n *node) *scene {
			s := replying(n)
			n.step(Closed{s.conn, s.bound})
			s.bound = n.stream()
			return s
		}},
		{"", "replying, without a connection", func(n *node) *scene {
			s := replying(n)
			n.step(broken(s.conn))
			s.conn, s.bound = 0, 0
			return s
		}},
		{"Refused", "refused", func(n *node) *scene { return begin(n, resume(1, "lane").with(huge)) }},
		{"AnsweredThere", "answered", func(n *node) *scene { s := replying(n); n.arrive(s.conn, s.bound, ackReply(1)); return s }},
		{"Abandoned", "abandoned", func(n *node) *scene { s := delivered(n); n.arrive(s.conn, s.bound, cancel(1)); return s }},
		{"", "tombstone", func(n *node) *scene { return begin(n, cancel(1)) }},
	}
}

func responderEvents() []event {
	var all []event
	add := func(name string, apply func(*scene) bool) { all = append(all, event{name, apply}) }
	does := func(name string, in func(*scene) Input) {
		add(name, func(s *scene) bool { return s.step(in(s)) })
	}
	does("Taken", func(*scene) Input { return Taken{asked(1)} })
	does("Respond", func(s *scene) Input { return Respond{Call: 1, Name: asked(1), Payload: s.text("another reply")} })
	does("Respond as before", func(s *scene) Input { return Respond{Call: 1, Name: asked(1), Payload: s.text("reply 1")} })
	does("Respond to the peer", func(s *scene) Input { return Respond{Call: 1, Peer: alice, Payload: s.text("another reply")} })
	does("Refuse", func(*scene) Input { return Refuse{Call: 1, Name: asked(1), Reason: "never"} })
	does("Forget", func(*scene) Input { return Forget{Call: 1, Name: asked(1)} })
	does("Hangup", func(*scene) Input { return Hangup{alice} })
	does("Listed", func(*scene) Input { return Listed{Peer: alice} })
	does("Unlisted", func(*scene) Input { return Unlisted{Peer: alice} })
	does("Connected, dialled here", func(*scene) Input { return Connected{Conn: 77, Peer: alice, Dialed: true} })
	does("Connected, dialled by the peer", func(*scene) Input { return Connected{Conn: 77, Peer: alice} })
	add("Disconnected", func(s *scene) bool { return s.conn != 0 && s.step(broken(s.conn)) })
	does("DialFailed", func(*scene) Input { return DialFailed{Peer: alice, Err: errAbsent} })
	does("DialFailed, no address", func(*scene) Input { return DialFailed{Peer: alice, Err: ErrNoAddress} })
	add("Closed", func(s *scene) bool { return s.bound != 0 && s.step(Closed{s.conn, s.bound}) })
	add("Progress", func(s *scene) bool { return s.bound != 0 && s.step(Progress{s.conn, s.bound}) })
	add("the large request has come", (*scene).uploaded)
	add("its timer is due", func(s *scene) bool {
		y := s.m.got[asked(1)]
		if y == nil || y.timer.place == 0 {
			return false
		}
		s.now = y.timer.at
		return s.step(Tick{})
	})

	older := func(f *wire.Frame) { f.Epoch-- }
	newer := func(f *wire.Frame) { f.Epoch++ }
	laneOf := func(lane string) func(*wire.Frame) { return func(f *wire.Frame) { f.Lane = lane } }
	for _, f := range []struct {
		name string
		frame
	}{
		{"HELLO that lists it", hello(theirEpoch, 2, 1)},
		{"HELLO that omits it", hello(theirEpoch, 2)},
		{"HELLO before it was given", hello(theirEpoch, 1)},
		{"HELLO of a smaller epoch", hello(theirEpoch-1, 2, 1)},
		{"HELLO of a greater epoch", hello(theirEpoch+1, 2, 1)},
		{"REQUEST", request(1, "lane")},
		{"REQUEST, large", largeRequest(1, "lane")},
		{"REQUEST, too large", request(1, "lane").with(huge)},
		{"REQUEST, another tag", request(1, "lane").ofTag(9)},
		{"REQUEST, another hash", request(1, "lane").with(otherHash)},
		{"REQUEST, another lane", request(1, "lane").with(laneOf("other"))},
		{"REQUEST of a smaller epoch", request(1, "lane").with(older)},
		{"REQUEST of a greater epoch", request(1, "lane").with(newer)},
		{"REQUEST 2 of its lane", request(2, "lane")},
		{"REQUEST 2 of its lane, low above it", request(2, "lane").withLow(2)},
		{"REQUEST 2 of another lane, its tag", request(2, "other").ofTag(1)},
		{"RESUME", resume(1, "lane")},
		{"RESUME, large", largeResume(1, "lane")},
		{"RESUME, too large", resume(1, "lane").with(huge)},
		{"RESUME, another tag", resume(1, "lane").ofTag(9)},
		{"RESUME of a smaller epoch", resume(1, "lane").with(older)},
		{"CANCEL", cancel(1)},
		{"CANCEL, another tag", cancel(1).ofTag(9)},
		{"CANCEL of a smaller epoch", cancel(1).with(older)},
		{"CANCEL of a greater epoch", cancel(1).with(newer)},
		{"CANCEL beyond the window", cancel(1 + wire.MaxOpen)},
		{"ACK of REPLY", ackReply(1)},
		{"ACK of REPLY, another hash", ackReply(1).with(otherHash)},
		{"ACK of REPLY of a smaller epoch", ackReply(1).with(older)},
		{"ACK of REPLY of a greater epoch", ackReply(1).with(newer)},
		{"NACK of REPLY", nackReply(1)},
		{"REJECT ENDED of REPLY", rejectReply(1, wire.Ended)},
		{"REJECT ENDED of REPLY, another tag", rejectReply(1, wire.Ended).ofTag(9)},
		{"REJECT TOO_LARGE of REPLY", rejectReply(1, wire.TooLarge)},
	} {
		add(f.name, func(s *scene) bool { return s.arrive(s.bound, f.frame) })
		add(f.name+", there", func(s *scene) bool { return s.arrive(s.other, f.frame) })
	}
	return all
}
