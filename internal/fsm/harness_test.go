package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		RetryMin: second, RetryMax: 30 * second, PollMax: 300 * second,
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
		written: map[string][]byte{}, durable: map[string][]byte{}, payloads: map[uint64]bool{},
	}
}

// connectedNode has alice on its list, and a connection that it dialled.
func connectedNode(t testing.TB, change ...func(*Config)) (*node, Conn) {
	n := newNode(t, change...)
	n.step(Listed{alice})
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
	for _, number := range n.ready.Batch.Drop {
		delete(n.payloads, number)
	}
	if n.ready.Batch.Sync {
		n.durable = maps.Clone(n.written)
	}
	if broken := n.m.broken(); broken != "" {
		n.t.Fatalf("the machine contradicts itself: %s\n%s", broken, n.transcript())
	}
	return n.ready
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
	}
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
	for k, v := range records {
		if err := r.Record([]byte(k), v); err != nil {
			t.Fatal(err)
		}
	}
	r.Done(morning)
	return r.Named(number)
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

// frame is a frame as the tests write it, and the payload of a HELLO.
type frame struct {
	wire.Frame
	inline []byte
}

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

// tag is the tag of the n-th exchange of a test.
func tag(number int) wire.Tag { return wire.Tag{15: byte(number), 14: byte(number >> 8), 0: 1} }

// made is the name of the n-th exchange made here, asked of that of one of alice's.
func made(number int) Name  { return Name{us, tag(number)} }
func asked(number int) Name { return Name{alice, tag(number)} }

func hashOf(text string) wire.Hash { return sha256.Sum256([]byte(text)) }

// outgoing is the n-th request of a test, to alice.
func (n *node) outgoing(number int, lane string) Outgoing {
	n.number++
	body := fmt.Sprintf("request %d", number)
	return Outgoing{
		Peer: alice, Tag: tag(number), Lane: lane, Dialable: true,
		Payload: Payload{Hash: hashOf(body), Size: int64(len(body)), Number: n.number, Inline: []byte(body)},
	}
}

// largeOutgoing is one whose payload is in the journal already.
func (n *node) largeOutgoing(number int, lane string) Outgoing {
	o := n.outgoing(number, lane)
	o.Payload.Size, o.Payload.Inline = largeSize, nil
	n.payloads[n.number] = true
	return o
}

// request makes the n-th request.
func (n *node) request(number int, lane string) Ready {
	n.t.Helper()
	return n.step(Enqueue{Requests: []Outgoing{n.outgoing(number, lane)}})
}

// text is a small payload that the application answers with.
func (n *node) text(body string) Payload {
	n.number++
	return Payload{Hash: hashOf(body), Size: int64(len(body)), Number: n.number, Inline: []byte(body)}
}

// answer answers the n-th request of alice.
func (n *node) answer(number int) Ready {
	n.t.Helper()
	return n.step(Respond{Call: 1, Name: asked(number), Payload: n.text(fmt.Sprintf("reply %d", number))})
}

// The frames that peers send as dialers.

func hello(epoch, next uint64, open ...uint64) frame {
	list := wire.AppendOpen([]byte{}, open)
	return frame{wire.Frame{Kind: wire.Hello, Epoch: epoch, Next: next, Hash: sha256.Sum256(list), Size: uint64(len(list))}, list}
}

func request(seq uint64, lane string) frame {
	body := fmt.Sprintf("request %d", seq)
	return frame{wire.Frame{
		Kind: wire.Request, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq)), Lane: lane, Hash: hashOf(body), Size: uint64(len(body)),
		Low: 1, LargestReply: 1 << 20,
	}, nil}
}

func largeRequest(seq uint64, lane string) frame {
	return request(seq, lane).with(func(f *wire.Frame) { f.Size = largeSize })
}

func resume(seq uint64, lane string) frame {
	return request(seq, lane).with(func(f *wire.Frame) { f.Kind = wire.Resume })
}

func largeResume(seq uint64, lane string) frame {
	return largeRequest(seq, lane).with(func(f *wire.Frame) { f.Kind = wire.Resume })
}

func cancel(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Cancel, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq))}, nil}
}

func ackReply(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfReply, Epoch: theirEpoch, Seq: seq, Hash: hashOf(fmt.Sprintf("reply %d", seq))}, nil}
}

func nackReply(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Nack, Of: wire.OfReply, Epoch: theirEpoch, Seq: seq, Delay: wire.NoRoom}, nil}
}

func rejectReply(seq uint64, why wire.Refusal) frame {
	return frame{wire.Frame{Kind: wire.Reject, Of: wire.OfReply, Refusal: why, Epoch: theirEpoch, Seq: seq, Tag: tag(int(seq))}, nil}
}

// The frames that responders send to this node, in its present epoch.

func (n *node) epoch() uint64 { return n.m.peer(alice).dialer.epoch }

func (n *node) welcome(seen uint64) frame {
	return frame{wire.Frame{Kind: wire.Welcome, Epoch: n.epoch(), Next: seen}, nil}
}

func (n *node) ack(seq uint64) frame {
	hash := hashOf(fmt.Sprintf("request %d", seq))
	if x := n.m.peer(alice).dialer.open[seq]; x != nil {
		hash = x.payload.Hash
	}
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfRequest, Epoch: n.epoch(), Seq: seq, Hash: hash}, nil}
}

func (n *node) ackCancel(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Ack, Of: wire.OfCancel, Epoch: n.epoch(), Seq: seq}, nil}
}

func (n *node) nack(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Nack, Of: wire.OfRequest, Epoch: n.epoch(), Seq: seq, Delay: wire.NoRoom}, nil}
}

func (n *node) nackCancel(seq uint64) frame {
	return n.nack(seq).with(func(f *wire.Frame) { f.Of = wire.OfCancel })
}

func (n *node) goAhead(seq uint64) frame {
	return frame{wire.Frame{Kind: wire.Continue, Epoch: n.epoch(), Seq: seq}, nil}
}

func (n *node) reject(seq uint64, why wire.Refusal) frame {
	f := wire.Frame{Kind: wire.Reject, Of: wire.OfRequest, Refusal: why, Epoch: n.epoch(), Seq: seq}
	switch why {
	case wire.Fenced:
		f.Known = n.epoch() + 10
	case wire.Policy:
		f.Tag, f.Text = tag(int(seq)), "not today"
		f.Hash = hashOf(f.Text)
	case wire.TooLarge:
		f.Tag, f.Known, f.Hash = tag(int(seq)), 5, hashOf("")
	}
	return frame{f, nil}
}

func (n *node) reply(seq uint64) frame {
	body := fmt.Sprintf("reply %d", seq)
	return frame{wire.Frame{Kind: wire.Reply, Epoch: n.epoch(), Seq: seq, Tag: tag(int(seq)), Hash: hashOf(body), Size: uint64(len(body))}, nil}
}

func (n *node) largeReply(seq uint64) frame {
	return n.reply(seq).with(func(f *wire.Frame) { f.Size = largeSize })
}

// with is a frame that differs in something.
func (f frame) with(change func(*wire.Frame)) frame {
	change(&f.Frame)
	return f
}

func (f frame) ofEpoch(epoch uint64) frame { return f.with(func(f *wire.Frame) { f.Epoch = epoch }) }
func (f frame) ofTag(number int) frame     { return f.with(func(f *wire.Frame) { f.Tag = tag(number) }) }
func (f frame) withLow(low uint64) frame   { return f.with(func(f *wire.Frame) { f.Low = low }) }

// What is expected, in words.

// sent is the frames of a Ready, in order, as "REQUEST 1" or "ACK of REPLY 3".
func sent(r Ready) []string {
	var all []string
	for _, a := range r.Actions {
		if s, ok := a.(Send); ok {
			all = append(all, frameName(s.Frame))
		}
	}
	return all
}

func frameName(f wire.Frame) string {
	name := f.Kind.String()
	if f.Refusal != 0 {
		name += " " + f.Refusal.String()
	}
	if f.Of != 0 {
		name += " of " + f.Of.String()
	}
	if f.Seq != 0 {
		name += fmt.Sprintf(" %d", f.Seq)
	}
	return name
}

// wantSent checks which frames the last step sent, and only those.
func (n *node) wantSent(why string, frames ...string) {
	n.t.Helper()
	if got := sent(n.ready); !slices.Equal(got, frames) {
		n.t.Fatalf("%s: sent %q, want %q\n%s", why, got, frames, n.transcript())
	}
}

// the frame that the last step sent of a kind.
func (n *node) sentFrame(kind wire.Kind) Send {
	n.t.Helper()
	for _, a := range n.ready.Actions {
		if s, ok := a.(Send); ok && s.Frame.Kind == kind {
			return s
		}
	}
	n.t.Fatalf("no %v was sent\n%s", kind, n.transcript())
	return Send{}
}

// did is the last step's actions other than frames.
func (n *node) wantDone(why string, want ...Action) {
	n.t.Helper()
	var got []Action
	for _, a := range n.ready.Actions {
		if _, ok := a.(Send); !ok {
			got = append(got, a)
		}
	}
	if !reflect.DeepEqual(got, want) {
		n.t.Fatalf("%s: did %v, want %v\n%s", why, got, want, n.transcript())
	}
}

func (n *node) wantState(why string, number int, want DialerState) {
	n.t.Helper()
	if s, _ := n.m.Exchange(made(number)); s.Dialer != want {
		n.t.Fatalf("%s: exchange %d is %v, want %v\n%s", why, number, stateName(s.Dialer), want, n.transcript())
	}
}

func (n *node) wantAsked(why string, number int, want ResponderState) {
	n.t.Helper()
	if s, _ := n.m.Exchange(asked(number)); s.Responder != want {
		n.t.Fatalf("%s: alice's exchange %d is %v, want %v\n%s", why, number, askedName(s.Responder), want, n.transcript())
	}
}

func stateName(s DialerState) string {
	if s == 0 {
		return "unknown"
	}
	return s.String()
}

func askedName(s ResponderState) string {
	if s == 0 {
		return "unknown"
	}
	return s.String()
}

// wantNotice checks what the operator was told in the last step, and only that.
func (n *node) wantNotice(why string, kinds ...NoticeKind) {
	n.t.Helper()
	var got []NoticeKind
	for _, notice := range n.ready.Notices {
		got = append(got, notice.Kind)
	}
	if !slices.Equal(got, kinds) {
		n.t.Fatalf("%s: told %v, want %v\n%s", why, got, kinds, n.transcript())
	}
}

// wantViolation checks that the peer was blamed for it and disconnected.
func (n *node) wantViolation(why string) {
	n.t.Helper()
	n.wantNotice(why, Violation)
	for _, a := range n.ready.Actions {
		if d, ok := a.(Disconnect); ok && !d.Graceful {
			return
		}
	}
	n.t.Fatalf("%s: the peer wasn't disconnected\n%s", why, n.transcript())
}

// wantNothing checks that the last step changed and did nothing.
func (n *node) wantNothing(why string) {
	n.t.Helper()
	r := n.ready
	if len(r.Actions)+len(r.Notices)+len(r.Batch.Records)+len(r.Batch.Drop) != 0 {
		n.t.Fatalf("%s: something happened\n%s", why, n.transcript())
	}
}

// wantAnswer checks what the call of the last step was answered with.
func (n *node) wantAnswer(why string, want error) {
	n.t.Helper()
	if len(n.ready.Answers) != 1 || n.ready.Answers[0].Err != want {
		n.t.Fatalf("%s: answered %v, want %v", why, n.ready.Answers, want)
	}
}

// told is all that the application is handed out now.
func (n *node) told() []string {
	var all []string
	for {
		d, ok := n.m.Deliver()
		if !ok {
			return all
		}
		text := fmt.Sprintf("%v %d", d.Kind, int(d.Name.Tag[14])<<8|int(d.Name.Tag[15]))
		if d.Redelivered {
			text += " again"
		}
		if d.PossiblySeen {
			text += " possibly seen"
		}
		if d.Kind == RequestReceived {
			n.m.Step(n.now, Taken{d.Name})
		}
		all = append(all, text)
	}
}

func (n *node) wantTold(why string, want ...string) {
	n.t.Helper()
	if diff := cmp.Diff(want, n.told()); diff != "" {
		n.t.Fatalf("%s: told otherwise (-want +got):\n%s", why, diff)
	}
}

// transcript is the last Ready for a reader.
func (n *node) transcript() string {
	var b strings.Builder
	for _, r := range n.ready.Batch.Records {
		fmt.Fprintf(&b, "  record %c %d bytes\n", r.Key[0], len(r.Value))
	}
	if n.ready.Batch.Sync {
		b.WriteString("  sync\n")
	}
	for _, a := range n.ready.Actions {
		if s, ok := a.(Send); ok {
			fmt.Fprintf(&b, "  send %d/%d %s\n", s.Conn, s.Stream, frameName(s.Frame))
		} else {
			fmt.Fprintf(&b, "  %T %+v\n", a, a)
		}
	}
	for _, notice := range n.ready.Notices {
		fmt.Fprintf(&b, "  notice %v: %s\n", notice.Kind, notice.Detail)
	}
	for _, a := range n.ready.Answers {
		fmt.Fprintf(&b, "  answer %v\n", a.Err)
	}
	return b.String()
}
