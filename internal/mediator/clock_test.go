package mediator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

func TestAClockThatIsSetIsNoticed(t *testing.T) {
	var c mediator.Clock
	wall, steady := time.Unix(1_764_000_000, 0), time.Duration(0)
	for _, step := range []struct{ passes, set, want time.Duration }{
		{0, 0, 0},
		{time.Hour, 0, 0},
		{time.Minute, -5 * time.Hour, -5 * time.Hour},
		{0, 0, 0},
		{time.Second, 10 * time.Hour, 10 * time.Hour},
		{time.Hour, 600 * time.Millisecond, 0}, // drift, of which
		{time.Hour, 600 * time.Millisecond, 0}, // a wait begun since knows nothing
		{time.Hour, 1200 * time.Millisecond, 1200 * time.Millisecond},
	} {
		wall, steady = wall.Add(step.passes+step.set), steady+step.passes
		if by := c.Set(wall, steady); by != step.want {
			t.Errorf("set by %v, noticed %v", step.set, by)
		}
	}
}

func TestAMachineThatSleptHasNoClockThatWasSet(t *testing.T) {
	slept := time.Minute // before this program began
	read := mediator.Clocks(func() time.Duration { return slept })
	var c mediator.Clock
	c.Set(read())
	slept += 5 * time.Hour
	wall, steady := read()
	if by := c.Set(wall.Add(5*time.Hour), steady); by != 0 {
		t.Errorf("it counts as set by %v", by)
	}
}

// A loop whose wall clock jumps by hours: a retry comes when its time has passed, a
// deadline when that clock shows it.
func TestRetriesKeepTheirPaceAndDeadlinesFollowTheClock(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, &memoryLog{})
			clock := n.SetClock()
			go n.Run()
			defer n.Stop()
			with := request("with a deadline")
			with.Deadline = time.Now().Add(2 * time.Hour)
			<-n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("without"), with}})
			synctest.Wait()
			dials := func() int {
				count := 0
				for _, a := range n.taken() {
					if _, ok := a.(fsm.Dial); ok {
						count++
					}
				}
				return count
			}
			for range 30 { // the delay grows to 5 minutes
				if dials() > 0 {
					n.inputs <- fsm.DialFailed{Peer: bob}
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
			}
			n.inputs <- fsm.DialFailed{Peer: bob}
			synctest.Wait()
			n.taken()

			clock.Store(int64(by))
			time.Sleep(31 * time.Second) // RetryMax, and a little
			synctest.Wait()
			if count := dials(); count == 0 {
				t.Errorf("set by %v, nobody dials", by)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			expired := len(n.Deliveries) > 0
			if want := by > 0; expired != want {
				t.Errorf("set by %v, the deadline is told: %v", by, expired)
			}
			if by < 0 {
				time.Sleep(2*time.Hour + time.Minute)
				synctest.Wait()
				if len(n.Deliveries) > 0 {
					t.Error("the deadline is told before the clock shows it")
				}
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				if len(n.Deliveries) != 1 {
					t.Errorf("%d ends are told", len(n.Deliveries))
				}
			}
		})
	}
}
