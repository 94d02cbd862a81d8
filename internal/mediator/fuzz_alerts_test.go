package mediator

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// FuzzAlerts puts notices in and takes alerts out, in any order, as an operator
// does who sometimes doesn't look. None is lost: the counts of what is told add
// up to what happened, of every kind and, up to the limits, of every peer. What
// repeats itself is told no more often than it may, and the first of its kind at once.
func FuzzAlerts(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 1, 2, 3, 61, 3, 0, 0})
	f.Add([]byte{4, 1, 4, 1, 4, 1, 200, 2, 4, 9, 4, 17, 255, 0, 4, 33})
	f.Add([]byte{8, 1, 8, 2, 8, 3, 8, 4, 8, 5, 8, 6, 8, 7, 8, 8, 8, 9, 8, 10, 8, 11, 8, 12, 8, 13, 8, 14, 8, 15, 8, 16, 8, 17, 8, 18, 253, 9, 254, 9})
	f.Fuzz(func(t *testing.T, story []byte) {
		var (
			a       alerts
			now     = time.UnixMilli(1_764_000_000_000)
			channel = make(chan fsm.Notice, 3)
			added   = map[fsm.NoticeKind]int{}
			told    = map[fsm.NoticeKind]int{}
			often   = map[string]int{} // alerts of one kind about one peer, within a minute of virtual time
			began   = now
		)
		take := func() {
			for len(channel) > 0 {
				n := <-channel
				told[n.Kind] += n.Count
				if n.Count < 1 {
					t.Fatalf("an alert of nothing: %+v", n)
				}
				if about := fmt.Sprint(n.Kind, n.Peer); repeats(n.Kind) {
					if often[about]++; often[about] > 3*(maxChanges+2) {
						t.Fatalf("%s is told %d times within a minute", about, often[about])
					}
				}
			}
		}
		for len(story) > 1 && len(a.topics) < 400 {
			what, which := story[0], story[1]
			story = story[2:]
			switch {
			case what >= 250:
				now = now.Add(time.Duration(which) * time.Second)
				if now.Sub(began) >= summaryEvery {
					clear(often)
					began = now
				}
			case what >= 230:
				take()
			default:
				n := fsm.Notice{Kind: fsm.NoticeKind(1 + what%13), Peer: fsm.Peer(fmt.Sprint("peer ", which%32)), Detail: fmt.Sprint("rule ", what/13%4), Count: int(which / 64), Time: now}
				added[n.Kind] += max(n.Count, 1)
				a.add(now, n)
			}
			a.pass(now, channel)
			if len(channel) == 0 && len(a.ready) > 0 {
				t.Fatal("there is room, and an alert waits")
			}
		}
		now = now.Add(summaryEvery)
		for range 10_000 {
			a.pass(now, channel)
			if len(channel) == 0 {
				break
			}
			clear(often)
			take()
		}
		for kind, n := range added {
			if told[kind] != n {
				t.Fatalf("%v happened %d times, and %d are told", kind, n, told[kind])
			}
		}
		if !a.at.IsZero() && !a.at.After(now) {
			t.Fatalf("a summary is due at %v, and it is %v", a.at, now)
		}
		for kind, n := range a.peers {
			if most := maxAlerts + 1; n > most || (kind == fsm.StrangerRefused || kind == fsm.ConnectionLimit) && n > maxStrangers+1 {
				t.Fatalf("%d peers are told apart in %v", n, kind)
			}
		}
	})
}
