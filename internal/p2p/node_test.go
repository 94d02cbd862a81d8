package p2p

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// patience is how long a test waits for what must come. Nothing depends on how
// fast it comes.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a Protocol under test: what it reports is read by the test.
type node struct {
	*Protocol
	t        testing.TB
	key      identity.Key
	list     *allowlist.List
	payloads *memory
}

// newNode starts a node that listens on loopback and admits nobody yet.
func newNode(t testing.TB, change ...func(*Config)) *node {
	t.Helper()
	return newNodeWith(t, newKey(t, identity.Ed25519), change...)
}

func newNodeWith(t testing.TB, key identity.Key, change ...func(*Config)) *node {
	t.Helper()
	list, err := allowlist.New()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, key: key, list: list, payloads: newMemory()}
	config := Config{
		Key:      n.key,
		Listen:   []string{"127.0.0.1:0"},
		Allow:    list,
		Payloads: n.payloads,
		Logger:   slog.New(slog.DiscardHandler),
		// However slow this machine is.
		DialTimeout: patience, HandshakeTimeout: patience, CloseTimeout: patience,
	}
	for _, c := range change {
		c(&config)
	}
	if n.Protocol, err = Listen(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

func newKey(t testing.TB, kind identity.Kind) identity.Key {
	t.Helper()
	key, err := identity.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (n *node) peer() fsm.Peer { return fsm.Peer(n.key.PeerID().Bytes()) }

// admit lists other nodes with the addresses where they listen.
func (n *node) admit(others ...*node) {
	n.t.Helper()
	for _, o := range others {
		if err := n.list.Add(allowlist.Member{ID: o.key.PeerID(), Addresses: o.Addresses()}); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *node) do(actions ...fsm.Action) {
	n.t.Helper()
	select {
	case n.Sender() <- actions:
	case <-time.After(patience):
		n.t.Fatal("the sender isn't drained")
	}
}

// next is the next input.
func (n *node) next() fsm.Input {
	n.t.Helper()
	select {
	case in := <-n.Receiver():
		return in
	case <-time.After(patience):
		n.t.Fatal("nothing was reported")
		return nil
	}
}

// want is the next input, which must be of type T; Progress is passed over.
func want[T fsm.Input](n *node) T {
	n.t.Helper()
	for {
		in := n.next()
		if got, ok := in.(T); ok {
			return got
		}
		if _, ok := in.(fsm.Progress); !ok {
			n.t.Fatalf("got %T %+v, want %T", in, in, *new(T))
		}
	}
}

func (n *node) wantNotice(kind fsm.NoticeKind) fsm.Notice {
	n.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case notice := <-n.Priority():
			if notice.Kind == kind {
				return notice
			}
			n.t.Fatalf("got notice %+v, want kind %d", notice, kind)
		case <-timeout:
			n.t.Fatal("no notice came")
		}
	}
}

// quiet fails the test if anything was reported. It is asked only once another
// event has shown that whatever was to come has come.
func (n *node) quiet() {
	n.t.Helper()
	select {
	case in := <-n.Receiver():
		n.t.Fatalf("unexpected %T %+v", in, in)
	default:
	}
}

// connect has a dial b and returns both ends.
func connect(a, b *node) (fsm.Conn, fsm.Conn) {
	a.t.Helper()
	a.do(fsm.Dial{Peer: b.peer()})
	dialed, accepted := want[fsm.Connected](a), want[fsm.Connected](b)
	if dialed.Peer != b.peer() || !dialed.Dialed || accepted.Peer != a.peer() || accepted.Dialed {
		a.t.Fatalf("connected as %+v and %+v", dialed, accepted)
	}
	return dialed.Conn, accepted.Conn
}

// pair is two nodes that admit each other.
func pair(t testing.TB, change ...func(*Config)) (*node, *node) {
	t.Helper()
	a, b := newNode(t, change...), newNode(t, change...)
	a.admit(b)
	b.admit(a)
	return a, b
}

// request is a REQUEST with a payload that is kept by the node which sends it.
func (n *node) request(seq uint64, body []byte) (wire.Frame, fsm.Payload) {
	p := n.payloads.keep(body)
	return wire.Frame{Kind: wire.Request, Epoch: 1, Seq: seq, Tag: wire.Tag{1}, Hash: p.Hash, Size: uint64(p.Size)}, p
}

func (n *node) reply(to wire.Frame, body []byte) (wire.Frame, fsm.Payload) {
	p := n.payloads.keep(body)
	return wire.Frame{Kind: wire.Reply, Epoch: to.Epoch, Seq: to.Seq, Tag: to.Tag, Hash: p.Hash, Size: uint64(p.Size)}, p
}

func ack(of wire.Of, f wire.Frame) wire.Frame {
	return wire.Frame{Kind: wire.Ack, Epoch: f.Epoch, Seq: f.Seq, Of: of, Hash: f.Hash}
}

func nack(of wire.Of, f wire.Frame) wire.Frame {
	return wire.Frame{Kind: wire.Nack, Epoch: f.Epoch, Seq: f.Seq, Of: of, Delay: wire.NoRoom}
}

func hello() (wire.Frame, fsm.Payload) {
	hash := wire.Hash(sha256.Sum256(nil))
	return wire.Frame{Kind: wire.Hello, Epoch: 1, Next: 1, Hash: hash}, fsm.Payload{Hash: hash}
}

// memory keeps payloads in memory.
type memory struct {
	mu      sync.Mutex
	last    uint64
	bodies  map[uint64][]byte
	aborted int
	dropped int
	failing error  // of writes
	stored  func() // called when a payload is
	damage  func([]byte) ([]byte, error)
}

func newMemory() *memory { return &memory{bodies: make(map[uint64][]byte)} }

func (m *memory) keep(body []byte) fsm.Payload {
	p := fsm.Payload{Hash: sha256.Sum256(body), Size: int64(len(body))}
	if len(body) > 0 {
		p.Number = m.NextPayload()
		m.mu.Lock()
		m.bodies[p.Number] = body
		m.mu.Unlock()
	}
	return p
}

func (m *memory) get(number uint64) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bodies[number])
}

func (m *memory) NextPayload() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	return m.last
}

func (m *memory) CreatePayload(number uint64, size int64) (PayloadWriter, error) {
	return &memoryWriter{m: m, number: number}, nil
}

func (m *memory) OpenPayload(number uint64) (io.ReadCloser, error) {
	body, err := m.Payload(number)
	return io.NopCloser(bytes.NewReader(body)), err
}

func (m *memory) Payload(number uint64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.bodies[number]
	if !ok {
		return nil, ErrGone
	}
	if m.damage != nil {
		return m.damage(body)
	}
	return body, nil
}

func (m *memory) DropPayload(number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bodies, number)
	m.dropped++
}

type memoryWriter struct {
	m      *memory
	number uint64
	body   []byte
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.m.failing != nil {
		return 0, w.m.failing
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *memoryWriter) Finish() error {
	if w.m.stored != nil {
		defer w.m.stored()
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.bodies[w.number] = w.body
	return nil
}

func (w *memoryWriter) Abort() {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.aborted++
}

func (m *memory) forget(number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.bodies, number)
}
