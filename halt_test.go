package parley_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
)

// backup copies a closed node's journal, and returns what puts it back.
func backup(t *testing.T, n *node) (restore func()) {
	t.Helper()
	copied := t.TempDir() + "/backup"
	if err := os.CopyFS(copied, os.DirFS(n.config.Dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.RemoveAll(n.config.Dir), os.CopyFS(n.config.Dir, os.DirFS(copied))); err != nil {
			t.Fatal(err)
		}
	}
}

// exchangeOnce has Alice ask and Bob answer.
func exchangeOnce(alice, bob *node, body string) {
	id := alice.ask(bob, body)
	bob.wantBody(parley.RequestReceived, body)
	bob.reply(id, "re: "+body)
	alice.wantBody(parley.ReplyReceived, "re: "+body)
	if err := alice.Commit(id); err != nil {
		alice.t.Fatal(err)
	}
}

func TestDialerRestoredFromABackup(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	exchangeOnce(alice, bob, "one")
	alice.stop()
	restore := backup(t, alice)
	alice = alice.again()
	exchangeOnce(alice, bob, "two")
	bob.untilNothingOpen()
	alice.stop()
	restore()
	alice = alice.again()

	id := alice.ask(bob, "three") // under a number that Bob has seen
	halted := alice.want(parley.PeerHalted)
	if halted.Peer != bob.PeerID() || !errors.Is(halted.Err, parley.ErrRolledBack) {
		t.Fatalf("%+v came", halted)
	}
	if _, err := alice.Request(bob.PeerID(), bob.address, nil); !errors.Is(err, parley.ErrRolledBack) {
		t.Fatalf("a request to a halted peer gives %v", err)
	}
	if status := alice.Peers()[0]; !errors.Is(status.Halt, parley.ErrRolledBack) || alice.exchange(id).State != "halted" {
		t.Fatalf("it stands as %+v", status)
	}
	alice = alice.restart() // the halt is durable
	if _, err := alice.Request(bob.PeerID(), bob.address, nil); !errors.Is(err, parley.ErrRolledBack) {
		t.Fatalf("after a restart a request to a halted peer gives %v", err)
	}

	if err := alice.Renew(bob.PeerID()); err != nil {
		t.Fatal(err)
	}
	if e := bob.wantBody(parley.RequestReceived, "three"); e.ID != id || !e.PossiblySeen {
		t.Fatalf("after renewal the request came as %+v", e)
	}
	bob.reply(id, "re: three")
	alice.wantBody(parley.ReplyReceived, "re: three")
	exchangeOnce(alice, bob, "four")
}

func TestDialerThatLostItsJournal(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	lost := alice.ask(bob, "before")
	bob.wantBody(parley.RequestReceived, "before")
	alice.untilStored(lost)
	alice.stop()
	if err := os.RemoveAll(alice.config.Dir); err != nil {
		t.Fatal(err)
	}
	alice = alice.again()
	id := alice.ask(bob, "after")
	if e := bob.want(parley.RequestAbandoned); e.ID != lost {
		t.Fatalf("%+v came", e)
	}
	if e := bob.wantBody(parley.RequestReceived, "after"); e.ID != id {
		t.Fatalf("%+v came", e)
	}
	bob.reply(id, "welcome back")
	alice.wantBody(parley.ReplyReceived, "welcome back")
}

func TestResponderThatLostItsJournal(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "keep this")
	bob.wantBody(parley.RequestReceived, "keep this")
	alice.untilStored(id)
	bob.stop()
	if err := os.RemoveAll(bob.config.Dir); err != nil {
		t.Fatal(err)
	}
	bob = bob.again()
	if e := bob.wantBody(parley.RequestReceived, "keep this"); e.ID != id || !e.PossiblySeen {
		t.Fatalf("the request came as %+v", e)
	}
	if e := alice.want(parley.PeerLostJournal); e.Peer != bob.PeerID() || e.ID != id {
		t.Fatalf("%+v came", e)
	}
	bob.reply(id, "kept now")
	alice.wantBody(parley.ReplyReceived, "kept now")
}

func TestOperatorForgetsAReply(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	id := alice.ask(bob, "a request")
	bob.want(parley.RequestReceived)
	alice.untilStored(id)
	if err := bob.Forget(id); !errors.Is(err, parley.ErrOpen) {
		t.Fatalf("forgetting an unanswered request gives %v", err)
	}
	alice.stop()
	bob.reply(id, "a reply that nobody fetches")
	if err := bob.Forget(id); err != nil {
		t.Fatal(err)
	}
	alice = alice.again()
	e := alice.want(parley.ExchangeFailed)
	var rejected *parley.RejectedError
	if !errors.As(e.Err, &rejected) || rejected.Reason == "" {
		t.Fatalf("it ended as %+v", e)
	}
	bob.untilNothingOpen()
	if err := bob.Forget(parley.ID{Dialer: alice.PeerID()}); !errors.Is(err, parley.ErrUnknown) {
		t.Fatalf("forgetting nothing gives %v", err)
	}
}

func TestAJournalThatContradictsItselfHaltsOnePeer(t *testing.T) {
	alice, bob := pair(t, onDisk(t))
	exchangeOnce(alice, bob, "one")
	bob.stop()
	id := alice.ask(bob, "two")
	alice.stop()
	change(t, alice, func(b *journal.Batch) { b.Delete(fsm.DialerKey(fsm.Peer(bob.PeerID().Bytes()))) })

	alice = alice.again()
	halted := alice.want(parley.PeerHalted)
	if halted.Peer != bob.PeerID() || halted.ID != id || !errors.Is(halted.Err, parley.ErrContradicts) {
		t.Fatalf("%+v came", halted)
	}
	if _, err := alice.Request(bob.PeerID(), bob.address, nil); !errors.Is(err, parley.ErrContradicts) {
		t.Fatalf("a request gives %v", err)
	}
	if status := alice.Peers()[0]; !errors.Is(status.Halt, parley.ErrContradicts) {
		t.Fatalf("it stands as %+v", status)
	}
	if err := alice.Renew(bob.PeerID()); err != nil {
		t.Fatal(err)
	}
	bob = bob.again()
	if e := bob.wantBody(parley.RequestReceived, "two"); e.ID != id {
		t.Fatalf("after renewal %+v came", e)
	}
	bob.reply(id, "re: two")
	alice.wantBody(parley.ReplyReceived, "re: two")
}

// The record of an exchange that has ended is back, whose payload went with its end:
// that too is about one peer, and the node starts and serves all others.
func TestARecordThatCameBackWithoutItsPayloadHaltsOnePeer(t *testing.T) {
	nodes := group(t, 3, onDisk(t))
	alice, bob, carol := nodes[0], nodes[1], nodes[2]
	id := alice.ask(bob, "one")
	bob.wantBody(parley.RequestReceived, "one")
	alice.untilStored(id)
	bob.stop()
	name := fsm.Name{Dialer: fsm.Peer(alice.PeerID().Bytes()), Tag: id.Tag}
	record := recordOf(t, bob, fsm.AskedKey(name))
	bob = bob.again()
	bob.wantBody(parley.RequestReceived, "one")
	bob.reply(id, "re: one")
	alice.wantBody(parley.ReplyReceived, "re: one")
	bob.untilNothingOpen()
	bob.stop()
	change(t, bob, func(b *journal.Batch) { b.Set(fsm.AskedKey(name), record) })

	bob = bob.again()
	if halted := bob.want(parley.PeerHalted); halted.Peer != alice.PeerID() || !errors.Is(halted.Err, parley.ErrContradicts) {
		t.Fatalf("%+v came", halted)
	}
	exchangeOnce(carol, bob, "two")
	if err := bob.Renew(alice.PeerID()); err != nil {
		t.Fatal(err)
	}
	exchangeOnce(alice, bob, "three")
	bob = bob.restart()
	exchangeOnce(alice, bob, "four")
}

// recordOf reads one record of a node that was stopped.
func recordOf(t *testing.T, n *node, key []byte) (record []byte) {
	t.Helper()
	j, err := journal.Open(n.config.Dir, journal.Options{Owner: n.PeerID().String()})
	if err != nil {
		t.Fatal(err)
	}
	err = j.Replay(func(k, v []byte) error {
		if bytes.Equal(k, key) {
			record = bytes.Clone(v)
		}
		return nil
	})
	if err := errors.Join(err, j.Close()); err != nil || record == nil {
		t.Fatalf("there is no record %x (%v)", key, err)
	}
	return record
}

// change changes the journal of a node that was stopped.
func change(t *testing.T, n *node, do func(*journal.Batch)) {
	t.Helper()
	j, err := journal.Open(n.config.Dir, journal.Options{Owner: n.PeerID().String()})
	if err != nil {
		t.Fatal(err)
	}
	b := j.Batch()
	do(b)
	if err := errors.Join(b.Commit(true), j.Close()); err != nil {
		t.Fatal(err)
	}
}
