package fsm

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// The names in these tests: this node, two peers, and the moment at which every
// test begins.
const (
	us    = Peer("us")
	alice = Peer("alice")
	bob   = Peer("bob")
)

var morning = time.UnixMilli(1_764_000_000_000)

const second = time.Second

// theirEpoch is the one in which peers make their requests here.
const theirEpoch = 5

// largeSize is a payload that isn't sent unasked.
const largeSize = wire.MaxInline + 1000

func testConfig() Config {
	return Config{
		Self: us, Jitter: func() float64 { return 0.5 },
		IdleTimeout: 5 * second, DisconnectionTimeout: 60 * second, AckTimeout: 10 * second,
		RetryMin: second, RetryMax: 30 * second, PollMax: 300 * second, KeepOutMax: time.Hour, ExchangesPerSecond: 1000, BytesPerSecond: 64 << 20,
		MaxMessageSize: 1 << 20, MaxQueuedPerPeer: 100, MaxQueued: 200, MaxOpenPerPeer: 100, MaxOpen: 200,
		MaxStoredPerPeer: 4 << 20, MaxStored: 8 << 20, MaxStreams: 8, History: 100, HistoryAge: 24 * time.Hour,
	}
}

// node is a machine with its journal, its clock and what was seen of it. Every
// turn is checked against the invariants of check_test.go.
type node struct {
	t   testing.TB
	m   *Machine
	now time.Time

	written  map[string][]byte // the journal, synced or not
	durable  map[string][]byte // what a crash leaves of it
	payloads map[uint64]bool   // in the journal, by their numbers
	dropped  map[uint64]bool   // … until the last sync: a crash brings them back

	conns  Conn
	peers  Stream // the last stream that a peer opened
	number uint64 // the last payload

	ready Ready // of the last step
}

func newNode(t testing.TB, change ...func(*Config)) *node {
	c := testConfig()
	for _, f := range change {
		f(&c)
	}
	return newNodeOf(t, New(c))
}

func newNodeOf(t testing.TB, m *Machine) *node {
	return &node{
		t: t, m: m, now: morning, peers: 1,
		written: map[string][]byte{}, durable: map[string][]byte{}, payloads: map[uint64]bool{}, dropped: map[uint64]bool{},
	}
}

// connectedNode has alice on its list, and a connection that it dialled.
func connectedNode(t testing.TB, change ...func(*Config)) (*node, Conn) {
	n := newNode(t, change...)
	n.step(Listed{Peer: alice})
	return n, n.connect(alice, true)
}

// step takes inputs in one turn and returns what is to be done.
func (n *node) step(inputs ...Input) Ready {
	n.t.Helper()
	for _, in := range inputs {
		n.m.Step(n.now, in)
	}
	return n.turn()
}

// turn takes the Ready and does what a mediator does with it.
func (n *node) turn() Ready {
	n.t.Helper()
	n.ready = n.m.Ready(n.now)
	for _, r := range n.ready.Batch.Records {
		if r.Value == nil {
			delete(n.written, string(r.Key))
		} else {
			n.written[string(r.Key)] = bytes.Clone(r.Value)
		}
	}
	for _, p := range n.ready.Batch.Payloads {
		n.payloads[p.Number] = true
	}
	n.settle(n.ready.Batch)
	if broken := n.m.broken(); broken != "" {
		n.t.Fatalf("the machine contradicts itself: %s\n%s", broken, n.transcript())
	}
	return n.ready
}

// settle drops payloads, and notes what a crash would leave.
func (n *node) settle(b Batch) {
	for _, number := range b.Drop {
		if n.payloads[number] {
			n.dropped[number] = true
			delete(n.payloads, number)
		}
	}
	if b.Sync {
		n.durable = maps.Clone(n.written)
		clear(n.dropped)
	}
}

// wait lets time pass, with a Tick at every deadline on the way, and returns
// everything that was done meanwhile.
func (n *node) wait(d time.Duration) Ready {
	n.t.Helper()
	var all Ready
	for end := n.now.Add(d); ; {
		at := n.ready.Deadline
		last := at.IsZero() || at.After(end)
		if last {
			at = end
		}
		n.now = at
		r := n.step(Tick{})
		all.Actions = append(all.Actions, r.Actions...)
		all.Notices = append(all.Notices, r.Notices...)
		all.Answers = append(all.Answers, r.Answers...)
		all.Batch.Records = append(all.Batch.Records, r.Batch.Records...)
		all.Batch.Sync = all.Batch.Sync || r.Batch.Sync
		if last {
			all.Deadline = r.Deadline
			n.ready = all
			return all
		}
	}
}

// restart makes a new machine of the journal. After a crash only what was
// synced is left of it.
func (n *node) restart(crash bool) {
	n.t.Helper()
	if crash {
		n.written = maps.Clone(n.durable)
		maps.Copy(n.payloads, n.dropped)
	}
	clear(n.dropped)
	n.m = restored(n.t, n.m.config, n.written, n.now)
	maps.DeleteFunc(n.payloads, func(number uint64, _ bool) bool { return !named(n.t, n.m.config, n.written, number) })
	n.turn()
}

func restored(t testing.TB, c Config, records map[string][]byte, now time.Time) *Machine {
	t.Helper()
	r := Restore(c)
	for _, k := range slices.Sorted(maps.Keys(records)) {
		if err := r.Record([]byte(k), records[k]); err != nil {
			t.Fatalf("a record that was written can't be read: %v", err)
		}
	}
	return r.Done(now)
}

func named(t testing.TB, c Config, records map[string][]byte, number uint64) bool {
	t.Helper()
	r := Restore(c)
	for _, k := range slices.Sorted(maps.Keys(records)) {
		if err := r.Record([]byte(k), records[k]); err != nil {
			t.Fatal(err)
		}
	}
	r.Done(morning)
	_, named := r.numbers[number]
	return named
}

// connect brings up a connection, and returns its number.
func (n *node) connect(p Peer, dialed bool) Conn {
	n.t.Helper()
	n.conns++
	n.step(Connected{Conn: n.conns, Peer: p, Dialed: dialed, Address: string(p) + ":4001"})
	return n.conns
}

// accept brings up a connection that the peer dialled and that it greeted with
// a HELLO.
func (n *node) accept(p Peer) (Conn, Stream) {
	n.t.Helper()
	c := n.connect(p, false)
	s := n.stream()
	n.arrive(c, s, hello(theirEpoch, 1))
	return c, s
}

// stream is a new stream opened by a peer.
func (n *node) stream() Stream {
	n.peers += 2
	return n.peers
}

// broken is the end of a connection by a failure.
func broken(c Conn) Disconnected { return Disconnected{Conn: c, Err: errBroken} }

var (
	errBroken = errors.New("connection reset")
	errAbsent = errors.New("nobody there")
)

// arrive takes frames in one turn.
func (n *node) arrive(c Conn, s Stream, frames ...frame) Ready {
	n.t.Helper()
	inputs := make([]Input, len(frames))
	for i, f := range frames {
		inputs[i] = n.arrived(c, s, f)
	}
	return n.step(inputs...)
}

// arrived is a frame as the P2P protocol reports it. A large payload is in the
// journal then.
func (n *node) arrived(c Conn, s Stream, f frame) Arrived {
	in := Arrived{Conn: c, Stream: s, Frame: f.Frame}
	size := int64(f.PayloadSize())
	switch {
	case f.Kind == wire.Hello:
		in.Payload = Payload{Hash: f.Hash, Size: size, Inline: f.inline}
	case f.Kind != wire.Request && f.Kind != wire.Reply:
	case size == 0:
		in.Payload = Payload{Hash: f.Hash}
	default:
		n.number++
		in.Payload = Payload{Hash: f.Hash, Size: size, Number: n.number}
		if size <= wire.MaxInline {
			in.Payload.Inline = make([]byte, size)
		} else {
			n.payloads[n.number] = true
		}
	}
	return in
}

// offer tells of the header of a large payload.
func (n *node) offer(c Conn, s Stream, f frame) Ready {
	n.t.Helper()
	return n.step(Offered{Conn: c, Stream: s, Frame: f.Frame})
}
