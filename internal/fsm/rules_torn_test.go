package fsm

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/internal/wire"
)

// tornNode is a node that has asked alice and bob and was asked by both, with its
// journal changed, and started again.
func tornNode(t *testing.T, change func(records map[string][]byte)) (before, after *node) {
	n := newNode(t)
	n.step(Listed{Peer: alice}, Listed{Peer: bob})
	for i, p := range []Peer{alice, bob} {
		c, s := n.accept(p)
		for _, tag := range []wire.Tag{{byte(1 + i)}, {byte(11 + i)}} {
			n.step(Enqueue{Requests: []Outgoing{{Peer: p, Tag: tag, Lane: string(tag[:1]), Dialable: true, Payload: n.text(string(tag[:1]))}}})
		}
		n.arrive(c, s, request(1, ""))
		n.arrive(c, s, cancel(2)) // which it never made
	}
	before = newNodeOf(t, n.m)
	before.written = maps.Clone(n.written)
	change(n.written)
	n.m = restored(t, n.m.config, n.written, n.now)
	n.turn()
	return before, n
}

// Records that can each be read, and that no journal has together: only the peer that
// they are about is halted.
func TestRecordsThatContradictEachOtherHaltTheirPeer(t *testing.T) {
	of := func(kind byte, change func(records map[string][]byte, k string, v []byte)) func(map[string][]byte) {
		return func(records map[string][]byte) {
			for k, v := range maps.Clone(records) {
				if k[0] == kind && ofPeer(Record{[]byte(k), v}) == alice {
					change(records, k, v)
				}
			}
		}
	}
	gone := func(records map[string][]byte, k string, _ []byte) { delete(records, k) }
	for _, test := range []struct {
		what   string
		change func(records map[string][]byte)
		wrong  string
		named  bool // an exchange
		asked  bool // what the peer asked is gone with it
	}{
		{"exchanges made here without what is known of their peer", of(dialerKey, gone), "is open, the next is 1", true, false},
		{"exchanges of a peer without what is known of it", of(responderKey, gone), "ends of a peer of which nothing is known", false, true},
		{"an exchange twice", of(outboundKey, func(records map[string][]byte, k string, v []byte) {
			records[k[:1]+"b"+k[2:]] = v
		}), "is there twice", true, false},
		{"an exchange of a peer twice", of(inboundKey, func(records map[string][]byte, k string, v []byte) {
			records[k[:1]+"b"+k[2:]] = v
		}), "is there twice", true, true},
	} {
		before, n := tornNode(t, test.change)
		told := n.ready.Notices
		if len(told) != 1 || told[0].Kind != RecordContradicts || told[0].Peer != alice || (told[0].Name != Name{}) != test.named || !strings.Contains(told[0].Detail, test.wrong) {
			t.Errorf("%s: told %+v", test.what, told)
		}
		kept := maps.Clone(n.written)
		n.step(Listed{Peer: alice}, Listed{Peer: bob})
		bobs, alices := n.connect(bob, true), n.connect(alice, false)
		if got := n.ready.Actions; len(got) != 1 || got[0] != (Disconnect{Conn: alices}) {
			t.Errorf("%s: of alice's connection comes %+v", test.what, got)
		}
		n.step(Disconnected{Conn: alices})
		n.wait(3 * n.m.config.PollMax)
		for k, v := range kept {
			if ofPeer(Record{[]byte(k), v}) == alice && string(n.written[k]) != string(v) {
				t.Errorf("%s: record %x of alice has changed", test.what, k)
			}
		}
		if len(n.m.peers[bob].dialer.open) != 2 || len(n.m.peers[bob].responder.open) != 1 {
			t.Errorf("%s: bob isn't served, connection %d", test.what, bobs)
		}
		n.step(Enqueue{Call: 1, Requests: []Outgoing{{Peer: alice, Tag: wire.Tag{99}, Dialable: true}}})
		if got := n.ready.Answers; len(got) != 1 || !errors.Is(got[0].Err, ErrContradicts) {
			t.Errorf("%s: a request to alice gives %+v", test.what, got)
		}
		n.step(Enqueue{Call: 2, Requests: []Outgoing{{Peer: bob, Tag: wire.Tag{1}, Dialable: true}}})
		if got := n.ready.Answers; len(got) != 1 || !errors.Is(got[0].Err, ErrTagReused) {
			t.Errorf("%s: a tag that is alice's, used for bob, gives %+v", test.what, got)
		}
		n.step(Cancel{Call: 3, Name: Name{us, wire.Tag{1}}})
		if got := n.ready.Answers; len(got) != 1 || !errors.Is(got[0].Err, ErrContradicts) {
			t.Errorf("%s: a cancel gives %+v", test.what, got)
		}
		if v := n.m.Peers(n.now)[0]; v.Peer != alice || !v.Listed || !errors.Is(v.Halt, ErrContradicts) {
			t.Errorf("%s: alice stands as %+v", test.what, v)
		}

		n.step(Renew{Call: 4, Peer: alice})
		if got := n.ready.Answers; len(got) != 1 || got[0].Err != nil {
			t.Fatalf("%s: renewing gives %+v", test.what, got)
		}
		for _, tag := range []wire.Tag{{1}, {11}} {
			was, _ := before.m.Exchange(Name{us, tag})
			x := n.m.made[tag]
			if x == nil || x.outcome != 0 || !x.possiblySeen || x.payload.Hash != was.RequestHash {
				t.Errorf("%s: renewed, exchange %x is %+v", test.what, tag[:1], x)
			}
		}
		if open := len(n.m.peers[alice].responder.open); (open == 0) != test.asked {
			t.Errorf("%s: renewed, %d of alice's exchanges are open", test.what, open)
		}
		n.restart(true)
		if len(n.ready.Notices) > 0 || n.m.peers[alice].torn != nil {
			t.Errorf("%s: renewed and started again, told %+v", test.what, n.ready.Notices)
		}
	}
}

// What is set aside keeps its room: the limits hold before the operator has renewed, and
// after.
func TestWhatIsAsideOfATornPeerKeepsItsRoom(t *testing.T) {
	for _, lost := range []byte{dialerKey, responderKey} {
		before, n := tornNode(t, func(records map[string][]byte) {
			delete(records, string(append([]byte{lost}, alice...)))
		})
		want := before.m.room
		if n.m.room != want {
			t.Errorf("without %q the room is %+v, it was %+v", lost, n.m.room, want)
		}
		n.m.config.MaxQueued = len(before.m.made)
		n.step(Listed{Peer: alice}, Listed{Peer: bob})
		ask := func() error {
			n.step(Enqueue{Call: 1, Requests: []Outgoing{{Peer: bob, Tag: wire.Tag{99}, Dialable: true, Payload: n.text("more")}}})
			return n.ready.Answers[0].Err
		}
		if err := ask(); !errors.Is(err, ErrQueueFull) {
			t.Errorf("without %q one more than MaxQueued: %v", lost, err)
		}
		n.step(Renew{Call: 2, Peer: alice})
		if n.m.room.queuedBytes != want.queuedBytes || len(n.m.made) != len(before.m.made) || len(n.m.aside) > 0 {
			t.Errorf("without %q and renewed the room is %+v with %d made, it was %+v with %d", lost, n.m.room, len(n.m.made), want, len(before.m.made))
		}
		if err := ask(); !errors.Is(err, ErrQueueFull) {
			t.Errorf("without %q and renewed, one more than MaxQueued: %v", lost, err)
		}
	}
}

func TestARequestWhoseRecordContradictedIsMarkedWhenItComesAgain(t *testing.T) {
	_, n := tornNode(t, func(records map[string][]byte) {
		delete(records, string(append([]byte{responderKey}, alice...)))
	})
	n.step(Listed{Peer: alice})
	n.step(Renew{Peer: alice})
	c, s := n.accept(alice)
	n.arrive(c, s, request(1, ""))
	if y := n.m.peers[alice].responder.open[1]; y == nil || !y.possiblySeen {
		t.Fatalf("it comes as %+v", y)
	}
}

func TestAnEndThatContradictsItselfIsTold(t *testing.T) {
	var changed string
	_, n := tornNode(t, func(records map[string][]byte) {
		for _, k := range slices.Sorted(maps.Keys(records)) {
			if k[0] == outboundKey && ofPeer(Record{[]byte(k), records[k]}) == alice {
				changed = k
			}
		}
		r := Restore(Config{Self: us})
		if err := r.read([]byte(changed), records[changed]); err != nil {
			t.Fatal(err)
		}
		x := r.outs[0]
		x.committed = true // and open
		x.peer.dialer.epoch = x.epoch
		var b Batch
		x.state = Cancelling // or the record would be deleted
		x.save(&b)
		records[changed] = b.Records[0].Value
	})
	if told := n.ready.Notices; len(told) != 1 || told[0].Kind != RecordContradicts || string(told[0].Name.Tag[:]) != changed[1:] {
		t.Fatalf("told %+v", told)
	}
	if _, told := n.m.Deliver(); told {
		t.Fatal("an end is told before the operator has renewed")
	}
	n.step(Renew{Peer: alice})
	if d, told := n.m.Deliver(); !told || d.Kind != RequestCancelled || string(d.Name.Tag[:]) != changed[1:] {
		t.Fatalf("%+v is told", d)
	}
}

func TestARecordOfNobodyRefusesTheStart(t *testing.T) {
	r := Restore(testConfig())
	x := &outbound{peer: newPeer(us), name: Name{us, wire.Tag{1}}, seq: 1}
	var b Batch
	x.save(&b)
	if err := r.Record(b.Records[0].Key, b.Records[0].Value); !errors.Is(err, ErrContradicts) {
		t.Fatalf("an exchange with oneself: %v", err)
	}
}

// restartWith makes a new machine of the journal where these payloads are stored, and
// returns those that are named.
func (n *node) restartWith(stored map[uint64]struct{}) []uint64 {
	n.t.Helper()
	r := Restore(n.m.config)
	for _, k := range slices.Sorted(maps.Keys(n.written)) {
		if err := r.Record([]byte(k), n.written[k]); err != nil {
			n.t.Fatal(err)
		}
	}
	n.m = r.Done(n.now)
	numbers, err := r.Numbers(func() (map[uint64]struct{}, error) { return stored, nil })
	if err != nil {
		n.t.Fatal(err)
	}
	n.turn()
	return slices.Sorted(numbers)
}

// What is given up by Renew leaves the disk at once, as it leaves the limits; what goes
// on keeps its payload.
func TestRenewDropsThePayloadsOfWhatIsGivenUp(t *testing.T) {
	before, n := tornNode(t, func(records map[string][]byte) {
		delete(records, string(append([]byte{responderKey}, alice...)))
	})
	stored, given := map[uint64]struct{}{}, []uint64{}
	for _, x := range before.m.made {
		stored[x.payload.Number] = struct{}{}
	}
	for _, y := range before.m.got {
		if y.payload.Number != 0 {
			stored[y.payload.Number] = struct{}{}
			if y.peer.id == alice {
				given = append(given, y.payload.Number)
			}
		}
	}
	n.restartWith(stored)
	n.step(Listed{Peer: alice}, Renew{Call: 7, Peer: alice})
	if got := slices.Sorted(slices.Values(n.ready.Batch.Drop)); len(given) == 0 || !slices.Equal(got, slices.Sorted(slices.Values(given))) {
		t.Errorf("dropped are %v, given up %v", got, given)
	}
}

// A reply that nobody can commit yet keeps no other peer from the relief of a full disk.
func TestWhatIsAsideLeavesTheReliefOfAFullDisk(t *testing.T) {
	p := newPeer(alice)
	var r room
	r.full = true
	x := &outbound{peer: newPeer(bob), payload: Payload{Size: 1}}
	r.hold(&torn{made: []*outbound{{peer: p, outcome: Answered, reply: Payload{Size: maxRelief}}}}, 1)
	if !r.relievedBy(x, wire.MaxInline+1) {
		t.Error("the first reply of any size isn't taken")
	}
	r.replyBytes++
	if r.relievedBy(x, wire.MaxInline+1) || !r.relievedBy(x, wire.MaxInline) {
		t.Error("after the first, small ones alone aren't taken")
	}
}

// Of a torn peer's payloads those that are stored are named, so that the sweep leaves
// them. What this node made and whose payload is missing ends as cancelled by Renew;
// the rest goes out again.
func TestATornPeersMissingPayloadsAreNoDamage(t *testing.T) {
	before, n := tornNode(t, func(records map[string][]byte) {
		delete(records, string(append([]byte{dialerKey}, alice...)))
	})
	stored := map[uint64]struct{}{}
	for _, x := range before.m.made {
		stored[x.payload.Number] = struct{}{}
	}
	for _, y := range before.m.got {
		if y.payload.Number != 0 {
			stored[y.payload.Number] = struct{}{}
		}
	}
	lost := before.m.made[wire.Tag{1}].payload.Number
	delete(stored, lost)

	if named := n.restartWith(stored); !slices.Equal(named, slices.Sorted(maps.Keys(stored))) {
		t.Fatalf("named are %v of %v, without %d", named, stored, lost)
	}
	n.step(Listed{Peer: alice}, Renew{Call: 7, Peer: alice})
	for tag, want := range map[wire.Tag]bool{{1}: true, {11}: false} {
		if s, found := n.m.Exchange(Name{n.m.config.Self, tag}); !found || (s.Dialer == Cancelled) != want {
			t.Errorf("%x is %v", tag[:1], s.Dialer)
		}
	}
}
