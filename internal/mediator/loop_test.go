package mediator_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
	"github.com/parley-p2p/parley/internal/wire"
)

func TestCallsThatComeTogetherShareOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := withholding()
		n := newNode(t, log)
		go n.Run()
		first := n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("first")}})
		if batch := <-log.begun; !batch.Sync {
			t.Fatal("a request isn't synced")
		}
		var answers []chan fsm.Answer
		for i := range 50 {
			answers = append(answers, n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request(fmt.Sprint(i))}}))
		}
		synctest.Wait()
		if len(first) > 0 || len(n.actions) > 0 {
			t.Fatal("something follows before the commit")
		}
		log.release <- struct{}{}
		if batch := <-log.begun; len(batch.Payloads) != 50 {
			t.Fatalf("the second commit has %d of 50 requests", len(batch.Payloads))
		}
		if a := <-first; a.Err != nil || len(a.Names) != 1 {
			t.Fatalf("the first call gives %+v", a)
		}
		log.release <- struct{}{}
		for i, answer := range answers {
			if a := <-answer; a.Err != nil {
				t.Fatalf("call %d gives %v", i, a.Err)
			}
		}
		if log.commits != 2 {
			t.Fatalf("51 calls took %d commits", log.commits)
		}
		n.Stop()
	})
}

func TestALoopThatHangsIsSeenToHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := withholding()
		n := newNode(t, log)
		go n.Run()
		time.Sleep(time.Hour)
		if busy := n.Busy(); busy != 0 {
			t.Fatalf("it waits, and was busy for %s", busy)
		}
		n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("first")}})
		<-log.begun
		time.Sleep(time.Minute) // the disk hangs
		if busy := n.Busy(); busy != time.Minute {
			t.Fatalf("it hangs in the journal for a minute, and was busy for %s", busy)
		}
		log.release <- struct{}{}
		synctest.Wait()
		if busy := n.Busy(); busy != 0 {
			t.Fatalf("it waits again, and was busy for %s", busy)
		}
		n.look(func(*fsm.Machine) {
			time.Sleep(time.Second)
			if busy := n.Busy(); busy != time.Second {
				t.Errorf("a look has taken a second, and it was busy for %s", busy)
			}
		})
		n.Stop()
	})
}

func TestNoticesComeFirstButNeverAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := withholding()
		n := newNode(t, log)
		go n.Run()
		n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("first")}})
		<-log.begun
		const flood = 1000
		for range flood {
			n.notices <- fsm.Notice{Kind: fsm.StrangerRefused}
		}
		for i := range 3 {
			n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request(fmt.Sprint(i))}})
		}
		log.release <- struct{}{}
		if batch := <-log.begun; len(batch.Payloads) == 0 {
			t.Fatal("a flood of notices holds up the requests")
		}
		if taken := flood - len(n.notices); taken < 64 || taken > 65 {
			t.Fatalf("%d notices were taken before the requests, want as many as a turn takes", taken)
		}
		log.release <- struct{}{}
		n.Stop()
	})
}

func TestCommitThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		n := newNode(t, log)
		go n.Run()
		defer n.Stop()
		n.inputs <- fsm.Connected{Conn: 5, Peer: bob}
		n.inputs <- greeting(5)
		n.inputs <- asking(5, 3, 1, "one")
		synctest.Wait()
		n.taken()

		before := log.commits
		log.refused = errors.New("no space left")
		n.inputs <- asking(5, 5, 2, "two")
		answer := n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}})
		if a := <-answer; !errors.Is(a.Err, mediator.ErrJournal) || !errors.Is(a.Err, log.refused) {
			t.Fatalf("the call gives %v", a.Err)
		}
		synctest.Wait()
		if got := n.taken(); !slices.Equal(got, []fsm.Action{fsm.Disconnect{Conn: 5}}) {
			t.Fatalf("the network is told %+v, want the connection closed and nothing else", got)
		}
		if alert := <-n.Alerts; alert.Kind != fsm.JournalTrouble {
			t.Fatalf("the application is told %+v", alert)
		}

		commits := log.commits
		if commits != before+1 {
			t.Fatalf("it was tried %d times", commits-before)
		}
		log.refused = nil // it must not be asked again
		n.inputs <- fsm.Connected{Conn: 6, Peer: bob}
		n.inputs <- greeting(6)
		n.inputs <- asking(6, 7, 3, "three")
		for range 3 {
			if a := <-n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}}); !errors.Is(a.Err, mediator.ErrJournal) {
				t.Fatalf("a later call gives %v", a.Err)
			}
		}
		synctest.Wait()
		if got := frames(n.taken()); len(got) > 0 || log.commits != commits {
			t.Fatalf("after the failure it sends %v and commits %d times", got, log.commits-commits)
		}
		if len(n.Deliveries) != 1 || len(n.Alerts) != 0 {
			t.Fatalf("%d events and %d alerts wait, want the one from before", len(n.Deliveries), len(n.Alerts))
		}
	})
}

func TestLogThatFailsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{failed: make(chan struct{})}
		n := newNode(t, log)
		go n.Run()
		defer n.Stop()
		n.inputs <- fsm.Connected{Conn: 5, Peer: bob}
		synctest.Wait()
		n.taken()

		log.why = errors.New("a table can't be written")
		close(log.failed)
		synctest.Wait()
		if got := n.taken(); !slices.Equal(got, []fsm.Action{fsm.Disconnect{Conn: 5}}) {
			t.Fatalf("the network is told %+v, want the connection closed and nothing else", got)
		}
		if len(n.Alerts) != 1 {
			t.Fatalf("%d alerts wait", len(n.Alerts))
		}
		if a := <-n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}}); !errors.Is(a.Err, log.why) || log.commits > 0 {
			t.Fatalf("a call gives %v after %d commits", a.Err, log.commits)
		}
	})
}

func TestWhatRepeatsItselfIsToldFirstThenEachChangeThenInSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &memoryLog{})
		go n.Run()
		defer n.Stop()
		refuse := func(times int, limit string) {
			for range times {
				n.notices <- fsm.Notice{Kind: fsm.ConnectionLimit, Peer: bob, Detail: limit}
				synctest.Wait()
			}
		}
		want := func(why string, counts ...int) {
			t.Helper()
			var got []int
			for len(n.Alerts) > 0 {
				got = append(got, (<-n.Alerts).Count)
				n.Commands <- mediator.Command{Input: fsm.Taken{}}
				synctest.Wait()
			}
			if !slices.Equal(got, counts) {
				t.Fatalf("%s: told of %v, want %v", why, got, counts)
			}
		}
		refuse(1000, "MaxConnections")
		want("the first", 1)
		refuse(1, "MaxConnectionsPerIP")
		want("a change, with what was before it", 1000)
		refuse(500, "MaxConnectionsPerIP")
		want("the same")
		time.Sleep(time.Minute)
		synctest.Wait()
		want("the sum", 500)
		time.Sleep(time.Hour)
		synctest.Wait()
		want("nothing more")
		refuse(2, "MaxConnectionsPerIP")
		want("much later, the first anew", 1)
		for i := range 1000 {
			refuse(1, fmt.Sprint(i))
		}
		want("changes without end are limited", 2, 1, 1, 1, 1, 1, 1, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want("and summed", 992)
	})
}

func TestAlertsOfOneTurnThatSayDifferentThingsAreAllTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &memoryLog{})
		const rules = 20
		for i := range rules {
			n.notices <- fsm.Notice{Kind: fsm.Violation, Peer: bob, Detail: fmt.Sprint("rule ", i)}
		}
		go n.Run()
		defer n.Stop()
		synctest.Wait()
		var said []string
		told := 0
		for len(n.Alerts) > 0 {
			alert := <-n.Alerts
			said = append(said, alert.Detail)
			told += alert.Count
		}
		if told != rules || len(said) < 8 || said[0] != "rule 0" || said[1] != "rule 1" || said[len(said)-1] != "rule 19" {
			t.Errorf("of %d rules %d were told: %q", rules, told, said)
		}
	})
}

func TestAlertsAreBoundedWhoeverTheyAreAbout(t *testing.T) {
	for _, test := range []struct {
		kind fsm.NoticeKind
		most int // alerts
	}{{fsm.StrangerRefused, 17}, {fsm.Violation, mediator.AlertRoom + 257}} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, &memoryLog{})
			go n.Run()
			defer n.Stop()
			const count = 5000
			for i := range count {
				n.notices <- fsm.Notice{Kind: test.kind, Peer: fsm.Peer(fmt.Sprint(i))}
			}
			alerts, told := 0, 0
			for range 2 { // and what is told in sum
				synctest.Wait()
				for len(n.Alerts) > 0 {
					alerts++
					told += (<-n.Alerts).Count
					n.Commands <- mediator.Command{Input: fsm.Taken{}}
					synctest.Wait()
				}
				time.Sleep(time.Minute)
			}
			if told != count || alerts > test.most+1 {
				t.Errorf("%d of %d notices were told by %d alerts", told, count, alerts)
			}
		})
	}
}

// However much waits for the application, the mediator doesn't wait for it; and
// however long the disk takes, the application doesn't wait for the mediator.
func TestNeitherSideWaitsForTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		n := newNode(t, log)
		go n.Run()
		n.inputs <- fsm.Connected{Conn: 5, Peer: bob}
		n.inputs <- greeting(5)
		const count = 600 // more than Deliveries has room for
		for i := range count {
			n.inputs <- asking(5, fsm.Stream(3+2*i), uint64(i+1), fmt.Sprint(i))
			n.notices <- fsm.Notice{Kind: fsm.Violation, Peer: fsm.Peer(fmt.Sprint(i))}
		}
		synctest.Wait()
		acks := 0
		for _, kind := range frames(n.taken()) {
			if kind == wire.Ack {
				acks++
			}
		}
		if acks != count || len(n.Deliveries) != mediator.DeliveryRoom || len(n.Alerts) != mediator.AlertRoom {
			t.Fatalf("%d requests are acknowledged, %d events and %d alerts wait", acks, len(n.Deliveries), len(n.Alerts))
		}

		n.look(func(m *fsm.Machine) {
			if open := len(m.Exchanges()); open != count {
				t.Errorf("%d requests are open", open)
			}
		})

		log.begun, log.release = make(chan fsm.Batch), make(chan struct{})
		n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}})
		<-log.begun // and now the disk takes its time
		var got []fsm.Delivery
		say := func(in fsm.Input) {
			select {
			case n.Commands <- mediator.Command{Input: in}:
			default:
				t.Fatalf("the application has to wait after %d events", len(got))
			}
		}
		for len(n.Alerts) > 0 {
			<-n.Alerts
			say(fsm.Taken{})
		}
		for len(n.Deliveries) > 0 {
			d := <-n.Deliveries
			got = append(got, d)
			say(fsm.Taken{Name: d.Name})
			say(fsm.Commit{Name: d.Name}) // at most two for each
		}
		close(log.release)
		go func() {
			for range log.begun {
			}
		}()
		for len(got) < count {
			d := <-n.Deliveries
			got = append(got, d)
			n.Commands <- mediator.Command{Input: fsm.Taken{Name: d.Name}}
		}
		for i, d := range got {
			if d.Lane != fmt.Sprint(i) {
				t.Fatalf("event %d is of lane %s", i, d.Lane)
			}
		}
		n.Stop()
		close(log.begun)
	})
}

func TestTimerFiresAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &memoryLog{})
		go n.Run()
		defer n.Stop()
		r := request("mine")
		r.Deadline = time.Now().Add(time.Hour)
		<-n.call(fsm.Enqueue{Requests: []fsm.Outgoing{r}})
		if d := <-n.Deliveries; d.Kind != fsm.RequestExpired || !time.Now().Equal(r.Deadline) {
			t.Fatalf("%v came %v after the deadline", d.Kind, time.Since(r.Deadline))
		}
	})
}

func TestOutcomeGoesToTheCallThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, &memoryLog{})
		go n.Run()
		defer n.Stop()
		wait := func(lane string) (fsm.Name, chan fsm.Delivery) {
			r, answer, outcome := request(lane), make(chan fsm.Answer, 1), make(chan fsm.Delivery, 1)
			r.Waited = true
			n.Commands <- mediator.Command{Input: fsm.Enqueue{Requests: []fsm.Outgoing{r}}, Answer: answer, Outcome: outcome}
			return (<-answer).Names[0], outcome
		}
		name, outcome := wait("one")
		<-n.call(fsm.Cancel{Name: name})
		if d := <-outcome; d.Name != name || d.Kind != fsm.RequestCancelled {
			t.Fatalf("the outcome is %+v", d)
		}

		name, outcome = wait("two")
		n.Commands <- n.Unwait(name)
		<-n.call(fsm.Cancel{Name: name})
		synctest.Wait()
		if d := <-n.Deliveries; d.Name != name || len(outcome) != 0 || len(n.Deliveries) != 0 {
			t.Fatalf("%+v is delivered, %d to the call that went", d, len(outcome))
		}
	})
}

func TestStop(t *testing.T) {
	for _, test := range []struct {
		name string
		when func(n *node, log *memoryLog)
	}{
		{"while nothing happens", func(*node, *memoryLog) {}},
		{"while the network doesn't take actions", func(n *node, _ *memoryLog) {
			for len(n.actions) < cap(n.actions) {
				n.actions <- nil
			}
			n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}})
		}},
		{"while the application takes nothing", func(n *node, _ *memoryLog) {
			for i := range 2000 {
				n.notices <- fsm.Notice{Kind: fsm.Violation, Peer: fsm.Peer(fmt.Sprint(i))}
			}
		}},
		{"while the disk is busy", func(n *node, log *memoryLog) {
			log.begun, log.release = make(chan fsm.Batch), make(chan struct{})
			n.call(fsm.Enqueue{Requests: []fsm.Outgoing{request("mine")}})
			<-log.begun
			time.AfterFunc(time.Second, func() { log.release <- struct{}{} })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &memoryLog{}
				n := newNode(t, log)
				go n.Run()
				synctest.Wait()
				test.when(n, log)
				n.Stop()
				select {
				case <-n.Stopped():
				default:
					t.Fatal("it goes on")
				}
			})
		})
	}
}
