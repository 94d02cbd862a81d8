package mediator_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

// FuzzTurn takes turns of arbitrary inputs over a log that fails at some time, as
// the input has it. Nothing leaves a turn whose batch wasn't committed, a turn
// commits once, every call is answered once; and after a failure nothing is
// stored, sent or delivered any more, and every call is told why.
func FuzzTurn(f *testing.F) {
	f.Add([]byte{9, 0, 0, 1, 0, 2, 0, 0, 3, 0, 4, 0, 5, 0})
	f.Add([]byte{3, 1, 0, 0, 2, 0, 4, 1, 9, 0, 7, 1, 3, 2, 8, 0, 1, 0})
	f.Add([]byte{200, 1, 1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7, 1, 8, 1, 9, 1, 0, 0, 0, 1, 0, 2, 0, 3})
	f.Add([]byte{5, 1, 0, 2, 0, 1, 3, 0, 1, 6, 2, 1, 0, 0, 2, 0, 1, 0, 2})
	f.Fuzz(func(t *testing.T, story []byte) {
		if len(story) > 200 {
			return
		}
		newTurns(t, story).run()
	})
}

// turns is a node whose turns are taken by hand.
type turns struct {
	t       *testing.T
	story   []byte
	log     *failingLog
	turn    *mediator.Turn
	now     time.Time
	calls   fsm.Call
	waiting map[fsm.Call]bool
	names   []fsm.Name
	asked   uint64
}

func newTurns(t *testing.T, story []byte) *turns {
	n := &turns{t: t, story: story, now: time.UnixMilli(1_764_000_000_000), waiting: map[fsm.Call]bool{}}
	n.log = &failingLog{turns: n, at: n.choose(), stored: map[string]bool{}}
	n.turn = mediator.NewTurn(fsm.New(config()), n.log)
	return n
}

func (n *turns) choose() int {
	if len(n.story) == 0 {
		return 0
	}
	b := n.story[0]
	n.story = n.story[1:]
	return int(b)
}

func (n *turns) run() {
	n.take([]fsm.Input{fsm.Listed{Peer: bob}, fsm.Connected{Conn: 1, Peer: bob, Dialed: true}, fsm.Connected{Conn: 2, Peer: bob}, greeting(2)})
	for len(n.story) > 0 {
		var inputs []fsm.Input
		for range 1 + n.choose()%3 {
			inputs = append(inputs, n.input())
		}
		n.take(inputs)
	}
}

func (n *turns) input() fsm.Input {
	n.asked++
	switch kind := n.choose(); kind % 10 {
	case 0:
		return n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request(fmt.Sprint(n.asked))}})
	case 1:
		return asking(2, fsm.Stream(1+2*n.asked), 1+n.asked, fmt.Sprint("lane ", n.asked))
	case 2:
		return n.call(fsm.Respond{Name: n.name(), Payload: inline(5000+n.asked, "a reply")})
	case 3:
		return n.call(fsm.Cancel{Name: n.name()})
	case 4:
		return n.call(fsm.Commit{Name: n.name()})
	case 5:
		return fsm.Taken{Name: n.name()}
	case 6:
		return fsm.Arrived{Conn: 1, Stream: 2, Frame: wire.Frame{Kind: wire.Continue, Epoch: 1, Seq: 1}}
	case 7:
		return fsm.Disconnected{Conn: fsm.Conn(1 + kind/10%3)}
	case 8:
		return fsm.Connected{Conn: fsm.Conn(10 + n.asked), Peer: bob}
	default:
		n.now = n.now.Add(time.Duration(kind) * time.Second)
		return fsm.Tick{}
	}
}

func (n *turns) call(in fsm.Input) fsm.Input {
	n.calls++
	n.waiting[n.calls] = true
	return fsm.WithCall(in, n.calls)
}

func (n *turns) name() fsm.Name {
	if len(n.names) == 0 {
		return fsm.Name{}
	}
	return n.names[n.choose()%len(n.names)]
}

// take takes one turn and holds against the log what comes of it.
func (n *turns) take(inputs []fsm.Input) {
	failedBefore := n.turn.Failed() != nil
	n.log.commits = 0
	out := n.turn.Take(n.now, inputs)
	switch failed := n.turn.Failed(); {
	case n.log.commits > 1:
		n.t.Fatalf("%d commits in a turn", n.log.commits)
	case failedBefore && n.log.commits > 0:
		n.t.Fatal("a log that has failed is asked again")
	case failed == nil && n.log.broken():
		n.t.Fatal("a log has failed, and the turn goes on")
	case failed != nil:
		n.checkRefusal(out, failed, failedBefore)
	}
	for _, a := range out.Answers {
		if !n.waiting[a.Call] {
			n.t.Fatalf("call %d is answered twice, or was never made", a.Call)
		}
		delete(n.waiting, a.Call)
		if n.names = append(n.names, a.Names...); len(n.names) > 16 {
			n.names = n.names[1:]
		}
	}
	for _, a := range out.Actions {
		n.checkStored(a)
	}
	n.deliver()
	for _, in := range inputs {
		if call := fsm.CallOf(in); n.waiting[call] {
			n.t.Fatalf("call %d isn't answered in its turn: %#v", call, in)
		}
	}
}

// checkRefusal: of a turn that wasn't committed nothing is left but hanging up,
// the reason for every call and, once, for the operator.
func (n *turns) checkRefusal(out mediator.Outcome, failed error, before bool) {
	for _, a := range out.Actions {
		if _, ok := a.(fsm.Disconnect); !ok {
			n.t.Fatalf("after the log has failed: %#v", a)
		}
	}
	for _, a := range out.Answers {
		if !errors.Is(a.Err, mediator.ErrJournal) || !errors.Is(a.Err, errDisk) || a.Err.Error() != failed.Error() {
			n.t.Fatalf("after the log has failed a call is answered with %v", a.Err)
		}
	}
	told := slices.ContainsFunc(out.Notices, func(n fsm.Notice) bool { return n.Kind == fsm.JournalTrouble })
	if told == before || !out.Deadline.IsZero() {
		n.t.Fatalf("told of the failure: %v, before: %v; asks to be woken at %v", told, before, out.Deadline)
	}
}

// checkStored: what is sent has its record, synced.
func (n *turns) checkStored(a fsm.Action) {
	s, ok := a.(fsm.Send)
	if !ok {
		return
	}
	if f := s.Frame; f.Kind == wire.Request || f.Kind == wire.Resume {
		if !n.log.stored["o"+string(f.Tag[:])] {
			n.t.Fatalf("%v is sent before it is stored", f.Kind)
		}
	}
	if s.Frame.Kind == wire.Ack && n.log.unsynced {
		n.t.Fatal("ACK is sent before all is synced")
	}
}

func (n *turns) deliver() {
	for _, take := range []func() (fsm.Delivery, bool){n.turn.Deliver, n.turn.DeliverWaited} {
		for {
			d, ok := take()
			if !ok {
				break
			}
			if n.turn.Failed() != nil {
				n.t.Fatalf("%v is delivered after the log has failed", d.Kind)
			}
			if key := "i" + string(d.Name.Tag[:]) + string(d.Name.Dialer); d.Kind == fsm.RequestReceived && !n.log.stored[key] {
				n.t.Fatal("a request is delivered before it is stored")
			}
			n.names = append(n.names, d.Name)
		}
	}
}

var errDisk = errors.New("the disk is gone")

// failingLog fails at its n-th commit or, half of the time, by itself before it.
type failingLog struct {
	turns    *turns
	at       int
	commits  int
	all      int
	stored   map[string]bool
	unsynced bool
	refused  bool
}

func (l *failingLog) alone() bool  { return l.at%2 == 1 && l.all >= l.at/2 }
func (l *failingLog) broken() bool { return l.refused }

func (l *failingLog) Commit(b fsm.Batch) error {
	l.commits++
	l.all++
	if l.at%2 == 0 && l.all > l.at/2 {
		l.refused = true
		return errDisk
	}
	for _, r := range b.Records {
		l.stored[string(r.Key)] = r.Value != nil
	}
	l.unsynced = !b.Sync && (l.unsynced || !b.Empty())
	return nil
}

func (l *failingLog) Low() bool               { return l.all%5 == 4 }
func (l *failingLog) Failed() <-chan struct{} { return nil }
func (l *failingLog) Err() error {
	if l.alone() {
		l.refused = true
		return errDisk
	}
	return nil
}
