package mediator_test

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/wire"
)

// A real journal, on a disk whose every sync is withheld until the test lets it
// happen: whatever must be durable before it is acknowledged comes out after the
// sync, and not before. Then the power fails: what was acknowledged is there.
func TestDiskIsSyncedBeforeEachAcknowledgement(t *testing.T) {
	n := newSyncedNode(t)

	made := fsm.Name{Dialer: self, Tag: tagOf("mine")}
	answer := n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}})
	n.nothingBeforeSync("a request returns", answer)
	if a := <-answer; a.Err != nil {
		t.Fatal(a.Err)
	}
	n.wantAfterCrash("a request that returned", made, "suspended")
	if actions := <-n.actions; len(actions) != 1 {
		t.Fatalf("%+v follows, want a dial", actions)
	}

	n.inputs <- fsm.Connected{Conn: 1, Peer: bob, Dialed: true}
	sent := (<-n.actions)[1].(fsm.Send)
	if sent.Frame.Kind != wire.Request {
		t.Fatalf("%v is sent, want REQUEST", sent.Frame.Kind)
	}
	on := func(stream fsm.Stream, f wire.Frame, p fsm.Payload) fsm.Arrived {
		f.Epoch, f.Seq = sent.Frame.Epoch, sent.Frame.Seq
		return fsm.Arrived{Conn: 1, Stream: stream, Frame: f, Payload: p}
	}
	reply := inline(2, "Bob's reply")
	n.inputs <- on(sent.Stream, wire.Frame{Kind: wire.Reply, Tag: made.Tag, Hash: reply.Hash, Size: uint64(reply.Size)}, reply)
	n.nothingBeforeSync("a reply is acknowledged", nil)
	n.wantFrames(wire.Ack)
	n.wantAfterCrash("a reply that was acknowledged", made, "answered")
	if d := <-n.Deliveries; d.Kind != fsm.ReplyReceived {
		t.Fatalf("%v is delivered", d.Kind)
	}
	answer = n.call(fsm.Commit{Name: made})
	n.nothingBeforeSync("a commit returns", answer)
	<-answer

	got := fsm.Name{Dialer: bob, Tag: tagOf("his")}
	n.inputs <- fsm.Connected{Conn: 2, Peer: bob}
	n.inputs <- greeting(2)
	n.nothingBeforeSync("a HELLO of a new epoch is welcomed", nil)
	n.wantFrames(wire.Welcome)
	n.inputs <- asking(2, 3, 1, "his")
	n.wantStored()
	n.wantAfterCrash("a request that was acknowledged", got, "stored")
	answer = n.call(fsm.Respond{Name: got, Payload: inline(3, "my reply")})
	n.nothingBeforeSync("an answer returns and goes out", answer)
	n.wantFrames(wire.Reply)
	if a := <-answer; a.Err != nil {
		t.Fatal(a.Err)
	}
	n.wantAfterCrash("an answer that went out", got, "replying")

	refused := fsm.Name{Dialer: bob, Tag: tagOf("refused")}
	n.inputs <- asking(2, 5, 2, "refused")
	n.wantStored()
	answer = n.call(fsm.Refuse{Name: refused, Reason: "no"})
	n.nothingBeforeSync("a rejection returns and goes out", answer)
	n.wantFrames(wire.Reject)
	n.wantAfterCrash("a rejection that went out", refused, "replying")

	over := fsm.Name{Dialer: bob, Tag: tagOf("over")}
	n.inputs <- asking(2, 7, 3, "over")
	n.wantStored()
	n.inputs <- fsm.Arrived{Conn: 2, Stream: 7, Frame: wire.Frame{Kind: wire.Cancel, Epoch: 7, Seq: 3, Tag: over.Tag}}
	n.nothingBeforeSync("a cancel is acknowledged", nil)
	n.wantFrames(wire.Ack)
	n.wantAfterCrash("a cancel that was acknowledged", over, "abandoned")
	if d := <-n.Deliveries; d.Kind != fsm.RequestAbandoned {
		t.Fatalf("%v is delivered", d.Kind)
	}

	given := fsm.Name{Dialer: self, Tag: tagOf("given up")}
	answer = n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("given up")}})
	n.nothingBeforeSync("a request returns and goes out", answer)
	n.wantFrames(wire.Request)
	answer = n.call(fsm.Cancel{Name: given})
	n.nothingBeforeSync("a cancel returns and goes out", answer)
	n.wantFrames(wire.Cancel)
	n.wantAfterCrash("a cancel that went out", given, "cancelling")
}

// syncedNode is a node on a disk that the test holds.
type syncedNode struct {
	*node
	disk *heldDisk
}

func newSyncedNode(t *testing.T) *syncedNode {
	disk := &heldDisk{MemFS: vfs.NewCrashableMem(), begun: make(chan struct{}), release: make(chan struct{}), released: make(chan struct{})}
	j := openJournal(t, disk)
	n := &syncedNode{newNode(t, journalLog{j}), disk}
	disk.hold(true)
	go n.Run()
	t.Cleanup(func() {
		disk.hold(false)
		n.Stop()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func openJournal(t *testing.T, fs vfs.FS) *journal.Journal {
	t.Helper()
	j, err := journal.Open("/journal", journal.Options{Owner: string(self), FS: fs, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// nothingBeforeSync waits for the disk to be asked to sync, sees that nothing
// has come out, and lets the sync happen.
func (n *syncedNode) nothingBeforeSync(what string, answer chan fsm.Answer) {
	n.t.Helper()
	select {
	case <-n.disk.begun:
	case <-n.actions:
		n.t.Fatalf("before the disk is asked to sync %s", what)
	case <-time.After(time.Minute):
		n.t.Fatalf("the disk is never asked to sync before %s", what)
	}
	if len(n.actions) > 0 || len(answer) > 0 || len(n.Deliveries) > 0 {
		n.t.Fatalf("before the disk is synced %s", what)
	}
	n.disk.release <- struct{}{}
}

// wantStored sees a request that came acknowledged and delivered.
func (n *syncedNode) wantStored() {
	n.t.Helper()
	n.nothingBeforeSync("a request is acknowledged and delivered", nil)
	n.wantFrames(wire.Ack)
	if d := <-n.Deliveries; d.Kind != fsm.RequestReceived {
		n.t.Fatalf("%v is delivered", d.Kind)
	}
}

// wantFrames are what is sent next, in one turn.
func (n *syncedNode) wantFrames(want ...wire.Kind) {
	n.t.Helper()
	if got := frames(<-n.actions); !slices.Equal(got, want) {
		n.t.Fatalf("%v is sent, want %v", got, want)
	}
}

// wantAfterCrash fails the power: of what wasn't synced nothing is left. A new
// machine then knows the exchange.
func (n *syncedNode) wantAfterCrash(what string, name fsm.Name, state string) {
	n.t.Helper()
	j := openJournal(n.t, n.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))}))
	restorer := fsm.Restore(config())
	if err := j.Replay(restorer.Record); err != nil {
		n.t.Fatal(err)
	}
	s, found := restorer.Done(time.Now()).Exchange(name)
	got := s.Responder.String()
	if s.Dialer != 0 {
		got = s.Dialer.String()
	}
	if !found || got != state {
		n.t.Errorf("after a crash %s is %q, want %q", what, got, state)
	}
	if err := j.Close(); err != nil {
		n.t.Fatal(err)
	}
}

// journalLog is a journal as the mediator writes it.
type journalLog struct{ *journal.Journal }

func (l journalLog) Commit(batch fsm.Batch) error {
	b := l.Batch()
	for _, p := range batch.Payloads {
		b.SetPayload(p.Number, p.Inline)
	}
	for _, r := range batch.Records {
		if r.Value == nil {
			b.Delete(r.Key)
		} else {
			b.Set(r.Key, r.Value)
		}
	}
	for _, number := range batch.Drop {
		b.DropPayload(number)
	}
	return b.Commit(batch.Sync)
}

// heldDisk tells of every sync and waits to be allowed it.
type heldDisk struct {
	*vfs.MemFS
	mu       sync.Mutex
	holding  bool
	begun    chan struct{}
	release  chan struct{}
	released chan struct{} // closed when nothing is held any more
}

func (d *heldDisk) hold(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holding = on
	if !on {
		close(d.released)
	}
}

func (d *heldDisk) wait() {
	d.mu.Lock()
	holding := d.holding
	d.mu.Unlock()
	if !holding {
		return
	}
	select {
	case d.begun <- struct{}{}:
	case <-d.released:
		return
	}
	select {
	case <-d.release:
	case <-d.released:
	}
}

// of has the syncs of a log held: Pebble merges tables beside it, when it likes.
func (d *heldDisk) of(name string, f vfs.File) vfs.File {
	if strings.HasSuffix(name, ".log") {
		return heldFile{f, d}
	}
	return f
}

func (d *heldDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.MemFS.Create(name, category)
	return d.of(name, f), err
}

func (d *heldDisk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.MemFS.OpenReadWrite(name, category, opts...)
	return d.of(name, f), err
}

func (d *heldDisk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.MemFS.ReuseForWrite(old, name, category)
	return d.of(name, f), err
}

type heldFile struct {
	vfs.File
	disk *heldDisk
}

func (f heldFile) Sync() error {
	f.disk.wait()
	return f.File.Sync()
}

func (f heldFile) SyncData() error {
	f.disk.wait()
	return f.File.SyncData()
}

func (f heldFile) SyncTo(length int64) (bool, error) {
	f.disk.wait()
	return f.File.SyncTo(length)
}
