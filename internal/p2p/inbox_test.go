package p2p

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
)

// testInbox is an inbox that is fed, and how a stream of a peer puts something.
func testInbox(t *testing.T, allow *allowlist.List) (b *inbox, put func(id identity.ID, in fsm.Input) <-chan bool) {
	b = newInbox(allow)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go b.feed(ctx)
	return b, func(id identity.ID, in fsm.Input) <-chan bool {
		passed := make(chan bool, 1)
		go func() { passed <- b.put(ctx, report{of: peer.ID(id.Bytes()), in: in, from: &connection{member: id}}) }()
		synctest.Wait()
		return passed
	}
}

func TestAPeerWithManyStreamsHoldsUpOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, put := testInbox(t, allowlist.Everyone())
		greedy, honest, other := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
		for range 1024 {
			put(greedy, fsm.Arrived{Conn: 1})
		}
		put(honest, fsm.Arrived{Conn: 2})
		put(honest, fsm.Arrived{Conn: 3})
		put(other, fsm.Arrived{Conn: 4})
		ahead := map[fsm.Conn]int{}
		for i := range 1024 + 3 {
			if conn := (<-b.ready).(fsm.Arrived).Conn; conn != 1 {
				ahead[conn] = i
			}
			synctest.Wait()
		}
		const first = maxReady + 1 // and what was in hand
		if ahead[2] > first+1 || ahead[4] > first+2 || ahead[3] > first+4 {
			t.Errorf("came with %d, %d and %d inputs ahead", ahead[2], ahead[4], ahead[3])
		}
	})
}

func TestInputsOfOneStreamComeInOrder(t *testing.T) {
	b, _ := testInbox(t, allowlist.Everyone())
	const each, streams = 500, 20
	for s := range fsm.Stream(streams) {
		id := peer.ID(newKey(t, identity.Ed25519).PeerID().Bytes())
		go func() {
			for i := range fsm.Conn(each) {
				b.put(t.Context(), report{of: id, in: fsm.Closed{Stream: s, Conn: i}})
			}
		}()
	}
	next := map[fsm.Stream]fsm.Conn{}
	for range each * streams {
		in := (<-b.ready).(fsm.Closed)
		if in.Conn != next[in.Stream] {
			t.Fatalf("stream %d: input %d came, want %d", in.Stream, in.Conn, next[in.Stream])
		}
		next[in.Stream]++
	}
}

func TestNothingOfARemovedPeerBecomesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaving, staying := newKey(t, identity.Ed25519).PeerID(), newKey(t, identity.Ed25519).PeerID()
		list, err := allowlist.New(allowlist.Member{ID: leaving}, allowlist.Member{ID: staying})
		if err != nil {
			t.Fatal(err)
		}
		b, put := testInbox(t, list)
		for range maxReady {
			put(staying, fsm.Tick{})
		}
		var dropped []<-chan bool
		for range 3 { // one of them is in hand
			dropped = append(dropped, put(leaving, fsm.Arrived{}))
		}
		passed := put(staying, fsm.Closed{})
		list.Remove(leaving)
		b.expel(peer.ID(leaving.Bytes()))
		dropped = append(dropped, put(leaving, fsm.Arrived{}))
		for i, d := range dropped {
			if <-d {
				t.Errorf("input %d of the removed peer was taken", i)
			}
		}
		for range maxReady {
			<-b.ready
		}
		if _, ok := (<-b.ready).(fsm.Closed); !ok || !<-passed {
			t.Error("what another peer brought is gone")
		}
		synctest.Wait()
		if len(b.ready) != 0 || len(b.queues)+len(b.turns) != 0 {
			t.Errorf("%d are ready, %d wait", len(b.ready), len(b.turns))
		}
	})
}
