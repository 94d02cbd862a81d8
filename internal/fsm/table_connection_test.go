package fsm

import (
	"strings"

	"github.com/parley-p2p/parley/internal/wire"
)

// connectionTable is of alice and the connection with her.
func connectionTable() *table {
	return &table{
		name: "connection",
		about: strings.TrimLeft(`
The connection with a peer: what follows from every input in every state. Disconnected and dialing are states of the peer, connected and
closing of its connection. Records are named by what they are about. Written by the tests of internal/fsm with -rewrite.
`, "\n"),
		states: connectionScenes(),
		inputs: connectionEvents(),
		at: func(s *scene) string {
			p := s.m.peer(alice)
			switch {
			case p.usable() != nil:
				return "connected"
			case p.dialing:
				return "dialing"
			case len(p.conns) > 0:
				return "closing"
			}
			return "disconnected"
		},
	}
}

func connectionScenes() []state {
	dialled := func(n *node) *scene {
		n.step(Listed{Peer: alice})
		s := &scene{number: 1, conn: n.connect(alice, true), bound: 2, other: 101}
		n.request(1, "lane")
		return s
	}
	idle := func(n *node) *scene { s := dialled(n); n.arrive(s.conn, s.bound, n.welcome(0), n.reply(1)); return s }
	accepted := func(n *node) *scene {
		n.step(Listed{Peer: alice})
		s := &scene{number: 1, other: 101}
		s.conn, s.bound = n.accept(alice)
		return s
	}
	return []state{
		{"", "disconnected", func(n *node) *scene { n.step(Listed{Peer: alice}); return &scene{number: 1} }},
		{"", "disconnected, to be dialled again", func(n *node) *scene {
			n.step(Listed{Peer: alice})
			n.request(1, "lane")
			n.step(DialFailed{Peer: alice, Err: errAbsent})
			return &scene{number: 1}
		}},
		{"", "disconnected, off the list", func(n *node) *scene { n.m.peer(alice); return &scene{number: 1} }},
		{"", "dialing", func(n *node) *scene { n.step(Listed{Peer: alice}); n.request(1, "lane"); return &scene{number: 1} }},
		{"ConnUp", "connected, dialled here, an exchange is open", dialled},
		{"", "connected, dialled here, idle", idle},
		{"", "connected, dialled by the peer, idle", accepted},
		{"", "connected, dialled by the peer, no HELLO yet", func(n *node) *scene {
			n.step(Listed{Peer: alice})
			return &scene{number: 1, conn: n.connect(alice, false), bound: n.stream(), other: 101}
		}},
		{"", "connected, a request is held back for HELLO", func(n *node) *scene {
			n.step(Listed{Peer: alice})
			s := &scene{number: 1, conn: n.connect(alice, false), bound: n.stream(), other: 101}
			n.arrive(s.conn, s.bound, request(1, "lane"))
			return s
		}},
		{"", "connected, twice", func(n *node) *scene { s := dialled(n); n.connect(alice, false); return s }},
		{"ConnClosing", "closing", func(n *node) *scene { s := idle(n); n.step(Hangup{alice}); return s }},
	}
}

func connectionEvents() []event {
	var all []event
	add := func(name string, apply func(*scene) bool) { all = append(all, event{name, apply}) }
	does := func(name string, in func(*scene) Input) {
		add(name, func(s *scene) bool { return s.step(in(s)) })
	}
	does("Enqueue", func(s *scene) Input { return Enqueue{Call: 1, Requests: []Outgoing{s.outgoing(7, "other")}} })
	does("Enqueue, no address", func(s *scene) Input {
		o := s.outgoing(7, "other")
		o.Dialable = false
		return Enqueue{Call: 1, Requests: []Outgoing{o}}
	})
	does("Hangup", func(*scene) Input { return Hangup{alice} })
	does("Listed", func(*scene) Input { return Listed{Peer: alice} })
	does("Everyone", func(*scene) Input { return Everyone{} })
	does("Unlisted", func(*scene) Input { return Unlisted{Peer: alice} })
	does("Connected, dialled here", func(*scene) Input { return Connected{Conn: 77, Peer: alice, Dialed: true} })
	does("Connected, dialled by the peer", func(*scene) Input { return Connected{Conn: 77, Peer: alice} })
	add("Disconnected, broken", func(s *scene) bool { return s.conn != 0 && s.step(broken(s.conn)) })
	add("Disconnected, clean", func(s *scene) bool { return s.conn != 0 && s.step(Disconnected{Conn: s.conn, Clean: true}) })
	add("Disconnected, closed by the peer", func(s *scene) bool { return s.conn != 0 && s.step(Disconnected{Conn: s.conn}) })
	does("Disconnected, unknown", func(*scene) Input { return Disconnected{Conn: 99} })
	does("DialFailed", func(*scene) Input { return DialFailed{Peer: alice, Err: errAbsent} })
	does("DialFailed, no address", func(*scene) Input { return DialFailed{Peer: alice, Err: ErrNoAddress} })
	add("Closed", func(s *scene) bool { return s.bound != 0 && s.step(Closed{s.conn, s.bound}) })
	add("Closed, unknown", func(s *scene) bool { return s.conn != 0 && s.step(Closed{s.conn, 999}) })
	add("Progress", func(s *scene) bool { return s.bound != 0 && s.step(Progress{s.conn, s.bound}) })
	add("its timer is due", func(s *scene) bool {
		c := s.m.conns[s.conn]
		if c == nil || c.timer.place == 0 {
			return false
		}
		s.now = c.timer.at
		return s.step(Tick{})
	})
	add("the dial is due", func(s *scene) bool {
		p := s.m.peer(alice)
		if p.redial.place == 0 {
			return false
		}
		s.now = p.redial.at
		return s.step(Tick{})
	})
	add("the disconnection timeout has passed", func(s *scene) bool {
		s.now = s.now.Add(s.m.config.DisconnectionTimeout)
		return s.step(Tick{})
	})
	for _, f := range []struct {
		name string
		frame
	}{
		{"HELLO", hello(theirEpoch, 1)},
		{"HELLO, not a list", hello(theirEpoch, 1, 5)},
		{"HELLO, more than 65,536 open", hello(theirEpoch, 2+wire.MaxOpen, 1)},
		{"REQUEST", request(3, "third")},
		{"REQUEST, large", largeRequest(3, "third")},
		{"RESUME", resume(3, "third")},
		{"CANCEL", cancel(3)},
		{"a frame of an unknown kind", frame{wire.Frame{Kind: 99, Epoch: 1}, nil}},
	} {
		add(f.name, func(s *scene) bool { return s.arrive(s.bound, f.frame) })
		add(f.name+", there", func(s *scene) bool { return s.arrive(s.other, f.frame) })
	}
	add("WELCOME, there", func(s *scene) bool { return s.arrive(s.other, s.welcome(0).ofEpoch(max(s.epoch(), 1))) })
	add("REPLY to nothing", func(s *scene) bool { return s.arrive(s.other, s.reply(1).ofEpoch(max(s.epoch(), 1))) })
	return all
}
