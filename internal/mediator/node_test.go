package mediator_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	self = fsm.Peer("alice")
	bob  = fsm.Peer("bob")
)

// node is a loop between a network and an application that the test plays.
type node struct {
	*mediator.Loop
	t       *testing.T
	actions chan []fsm.Action
	inputs  chan fsm.Input
	notices chan fsm.Notice
}

func config() fsm.Config {
	return fsm.Config{
		Self: self, Jitter: func() float64 { return 0 },
		DisconnectionTimeout: 30 * time.Second, AckTimeout: 10 * time.Second, RetryMin: 100 * time.Millisecond, RetryMax: 30 * time.Second, PollMax: 5 * time.Minute,
		IdleTimeout: time.Hour, KeepOutMax: time.Hour, ExchangesPerSecond: 1000, BytesPerSecond: 64 << 20, MaxMessageSize: 64 << 20, MaxQueuedPerPeer: 1000, MaxQueued: 1000, MaxOpenPerPeer: 1000, MaxOpen: 1000,
		MaxStoredPerPeer: 1 << 30, MaxStored: 1 << 30, MaxStreams: 512, History: 100, HistoryAge: time.Hour,
	}
}

// newNode makes a loop that has Bob on its allow list. Run starts it.
func newNode(t *testing.T, log mediator.Log) *node {
	n := &node{t: t, actions: make(chan []fsm.Action, 4096), inputs: make(chan fsm.Input, 4096), notices: make(chan fsm.Notice, 4096)}
	n.Loop = mediator.NewLoop(mediator.NewTurn(fsm.New(config()), log), n.actions, n.inputs, n.notices, fsm.Listed{Peer: bob})
	return n
}

// call says what waits for an answer, as the application does.
func (n *node) call(in fsm.Input) chan fsm.Answer {
	answer := make(chan fsm.Answer, 1)
	n.Commands <- mediator.Command{Input: in, Answer: answer}
	return answer
}

// look sees the machine between two turns.
func (n *node) look(at func(*fsm.Machine)) {
	answer := make(chan fsm.Answer, 1)
	n.Commands <- mediator.Command{Look: at, Answer: answer}
	<-answer
}

// taken is every action that has come.
func (n *node) taken() []fsm.Action {
	var all []fsm.Action
	for len(n.actions) > 0 {
		all = append(all, <-n.actions...)
	}
	return all
}

// frames are the kinds of the frames among the actions.
func frames(actions []fsm.Action) []wire.Kind {
	var kinds []wire.Kind
	for _, a := range actions {
		if send, ok := a.(fsm.Send); ok {
			kinds = append(kinds, send.Frame.Kind)
		}
	}
	return kinds
}

// request is one that the application makes.
func request(lane string) fsm.Outgoing {
	return fsm.Outgoing{Peer: bob, Tag: tagOf(lane), Lane: lane, Dialable: true, Payload: inline(1, "a request")}
}

func inline(number uint64, body string) fsm.Payload {
	return fsm.Payload{Hash: sha256.Sum256([]byte(body)), Size: int64(len(body)), Number: number, Inline: []byte(body)}
}

func tagOf(text string) (tag wire.Tag) {
	copy(tag[:], text)
	return tag
}

// Bob's frames on a connection that he dialled.

func greeting(conn fsm.Conn) fsm.Arrived {
	return fsm.Arrived{Conn: conn, Stream: 1, Frame: wire.Frame{Kind: wire.Hello, Epoch: 7, Next: 1, Hash: sha256.Sum256(nil)}}
}

func asking(conn fsm.Conn, stream fsm.Stream, seq uint64, lane string) fsm.Arrived {
	body := inline(1000+seq, "Bob's request")
	return fsm.Arrived{Conn: conn, Stream: stream, Payload: body, Frame: wire.Frame{
		Kind: wire.Request, Epoch: 7, Seq: seq, Tag: tagOf(lane), Lane: lane, Hash: body.Hash, Size: uint64(body.Size), Low: 1, LargestReply: 1 << 20,
	}}
}

// memoryLog keeps nothing. A test can withhold or refuse a commit.
type memoryLog struct {
	begun   chan fsm.Batch // told of every commit that is withheld
	release chan struct{}  // nil: none is
	refused error          // what a commit gives
	commits int
	failed  chan struct{} // closed when it has failed by itself
	why     error         // then
}

// withholding is a log whose every commit waits to be released.
func withholding() *memoryLog {
	return &memoryLog{begun: make(chan fsm.Batch), release: make(chan struct{})}
}

func (l *memoryLog) Commit(b fsm.Batch) error {
	l.commits++
	if l.release != nil {
		l.begun <- b
		<-l.release
	}
	return l.refused
}

func (l *memoryLog) Low() bool               { return false }
func (l *memoryLog) Failed() <-chan struct{} { return l.failed }
func (l *memoryLog) Err() error              { return l.why }
