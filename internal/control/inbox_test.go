package control

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-p2p/parley"
)

func TestWhatIsDoneWithBeforeItComesDoesntCome(t *testing.T) {
	box := newInbox(1)
	first, second := parley.ID{Tag: [16]byte{1}}, parley.ID{Tag: [16]byte{2}}
	box.done(first)
	box.put(parley.Event{Kind: parley.RequestReceived, ID: first})
	box.put(parley.Event{Kind: parley.RequestReceived, ID: second})
	if events, _, _ := box.take(filter{}, 10); len(events) != 1 || events[0].ID != second {
		t.Errorf("what comes is %v", events)
	}
	box.put(parley.Event{Kind: parley.RequestReceived, ID: first, PossiblySeen: true})
	if held, _ := box.standing(); held != 2 {
		t.Error("a request of a peer whose journal was set back isn't held")
	}
	for i := range 3 * maxEarly {
		box.done(parley.ID{Tag: [16]byte{3, byte(i), byte(i >> 8), byte(i >> 16)}})
	}
	if count := len(box.early); count > maxEarly || count < maxEarly/2 || count != len(box.earlyOnes) {
		t.Errorf("%d are kept", count)
	}
}

// Who was given a request in an earlier run is told that its dialer gave it up.
func TestAnAbandonmentOfARequestOfAnEarlierRunIsTold(t *testing.T) {
	for given, want := range map[bool]int{true: 1, false: 0} {
		box, id := newInbox(2), parley.ID{Tag: [16]byte{1}}
		box.put(parley.Event{Kind: parley.RequestReceived, ID: id, Redelivered: given})
		box.put(parley.Event{Kind: parley.RequestAbandoned, ID: id})
		if events, _, _ := box.take(filter{}, 10); len(events) != want {
			t.Errorf("given before: %v, and what comes is %v", given, events)
		}
	}
}

// A request that is asked anew after it was answered is told of to its end, and what was
// answered twice isn't kept back later.
func TestARequestThatIsAskedAnewIsToldOfToItsEnd(t *testing.T) {
	box, id := newInbox(1), parley.ID{Tag: [16]byte{1}}
	box.done(id)
	box.put(parley.Event{Kind: parley.RequestReceived, ID: id, PossiblySeen: true})
	box.take(filter{}, 1)
	box.put(parley.Event{Kind: parley.RequestAbandoned, ID: id})
	if events, _, _ := box.take(filter{}, 10); len(events) != 1 || events[0].Kind != parley.RequestAbandoned {
		t.Errorf("what comes is %v", events)
	}
	box.drop(id)
	box.put(parley.Event{Kind: parley.RequestReceived, ID: id})
	if events, _, _ := box.take(filter{}, 10); len(events) != 1 {
		t.Errorf("what comes after it was dropped is %v", events)
	}
}

// A node that lost count of its starts gives places again that clients are beyond.
func TestAPlaceThatIsYetToComeCountsAsNone(t *testing.T) {
	box := newInbox(1)
	box.put(parley.Event{Kind: parley.RequestReceived})
	if events, looked, _ := box.take(filter{after: 7 << 32}, 10); len(events) != 1 || looked != 1<<32+1 {
		t.Errorf("after a place of a later run come %v, up to %d", events, looked)
	}
}

func TestAbandonmentsDontHeapUp(t *testing.T) {
	box := newInbox(1)
	for i := range 2 * maxAbandonments {
		id := parley.ID{Tag: [16]byte{byte(i), byte(i >> 8), 1}}
		box.put(parley.Event{Kind: parley.RequestReceived, ID: id})
		box.take(filter{after: box.last - 1}, 1)
		box.put(parley.Event{Kind: parley.RequestAbandoned, ID: id})
	}
	if held, last := box.standing(); held != maxAbandonments || last != 1<<32+4*maxAbandonments {
		t.Errorf("%d events are held, the last at %d", held, last)
	}
}

// Whatever comes and goes, a client that reads on from where it was is given each event
// that is held, once and in order.
func TestTheInboxGivesWhatIsHeldInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	box := newInbox(1)
	var want []held // by place
	forget := func(id parley.ID) {
		want = slices.DeleteFunc(want, func(e held) bool { return e.ID == id })
	}
	lanes := []string{"a/1", "a/2", "b"}
	for range 20_000 {
		id := parley.ID{Tag: [16]byte{byte(random.IntN(200))}}
		switch random.IntN(8) {
		case 0, 1, 2, 3:
			e := parley.Event{Kind: parley.RequestReceived, ID: id, Lane: lanes[random.IntN(3)], PossiblySeen: true}
			box.put(e)
			forget(id)
			want = append(want, held{Event: e, place: box.last})
		case 4, 5, 6:
			box.done(id)
			forget(id)
		case 7:
			f := filter{after: 1<<32 + uint64(random.IntN(int(box.last-1<<32)+1)), lanePrefix: []string{"", "a/", "b"}[random.IntN(3)]}
			most := 1 + random.IntN(50)
			var expected []held
			for _, e := range want {
				if e.place > f.after && f.wants(&e) && len(expected) < most {
					expected = append(expected, e)
				}
			}
			got, looked, _ := box.take(f, most)
			same := func(a, b held) bool { return a.place == b.place && a.ID == b.ID }
			if !slices.EqualFunc(got, expected, same) {
				t.Fatalf("after %d come %v, want %v", f.after, got, expected)
			}
			if more, _, _ := box.take(filter{after: looked, lanePrefix: f.lanePrefix}, 1); len(got) < most && len(more) > 0 {
				t.Fatalf("%d was looked up to, and there is %v after it", looked, more)
			}
		}
		if count, _ := box.standing(); count != len(want) || len(box.about) != len(want) || len(box.events) > 2*len(want)+1 {
			t.Fatalf("%d are held, %d by their exchanges, %d kept; want %d", count, len(box.about), len(box.events), len(want))
		}
	}
}

func TestACallIsToldOfItsOwnExchangeAlone(t *testing.T) {
	box := newInbox(1)
	mine, other := parley.ID{Tag: [16]byte{1}}, parley.ID{Tag: [16]byte{2}}
	changed, leave := box.await(mine)
	told := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	box.put(parley.Event{Kind: parley.ReplyReceived, ID: other})
	box.put(parley.Event{Kind: parley.JournalTrouble})
	if told() {
		t.Error("it is told of another's")
	}
	box.put(parley.Event{Kind: parley.ReplyReceived, ID: mine})
	if !told() {
		t.Error("it isn't told of its end")
	}
	box.done(mine)
	if !told() {
		t.Error("it isn't told that somebody else is done with it")
	}
	leave()
	if len(box.calls) > 0 {
		t.Error("what it left is kept")
	}
}
