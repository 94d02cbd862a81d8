package parley_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

// arena is a node under attack, and an honest peer that it serves meanwhile. The
// attacker is on the node's allow list too; whether the attack is by him or by
// strangers is the attack's. The node's application answers every request with
// the request.
type arena struct {
	t        testing.TB
	node     *node
	honest   *node
	attacker identity.Key
	from     []netip.Addr // where the attack comes from, and nothing else
	before   footprint    // of the process, with both nodes idle
	kept     uint64       // bytes of messages that may remain stored, besides heapLeft

	mu        sync.Mutex
	delivered map[parley.ID]int   // requests given to the application as new
	failures  map[parley.ID]error // of exchanges that the node made
	alerts    []parley.Event
}

// footprint is what a process holds.
type footprint struct {
	goroutines int
	heap       uint64 // bytes in use after a collection
}

func measureFootprint() footprint {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc}
}

// What may remain of an attack: exchanges that the attacker left open and a
// history, and nothing that grows with what he did.
const (
	goroutinesLeft = 16
	heapLeft       = 32 << 20 // bytes
)

func newArena(t testing.TB, change func(*parley.Config)) *arena {
	t.Helper()
	a := newColdArena(t, change)
	a.exchange(20) // what is made once, is made
	a.before = measureFootprint()
	return a
}

// newColdArena is an arena whose honest peer has never connected; his IP stands
// on the allow list.
func newColdArena(t testing.TB, change func(*parley.Config)) *arena {
	t.Helper()
	a := &arena{t: t, attacker: newKey(t), from: sources(t, 1), delivered: map[parley.ID]int{}, failures: map[parley.ID]error{}}
	honest, key := newKey(t), newKey(t)
	list, err := allowlist.New(allowlist.Member{ID: honest.PeerID(), Addresses: []string{"127.0.0.1:4001"}}, allowlist.Member{ID: a.attacker.PeerID()})
	if err != nil {
		t.Fatal(err)
	}
	config := parley.Config{AllowList: list, Logger: quiet, PayloadMemory: 8 << 20} // less than may remain
	onDisk(t)(&config)
	if change != nil {
		change(&config)
	}
	a.node = start(t, key, "127.0.0.1:0", config)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.apply(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	patient := parley.Config{AllowList: listing(t, key), Logger: quiet, AckTimeout: 5 * time.Second}
	onDisk(t)(&patient)
	a.honest = start(t, honest, "127.0.0.1:0", patient)
	a.before = measureFootprint()
	return a
}

// quiet is the logger of a node under attack: it has much to say.
var quiet = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))

// apply is the application of the node.
func (a *arena) apply(ctx context.Context) {
	for e := range a.node.Events(ctx) {
		a.mu.Lock()
		switch {
		case e.Kind == parley.RequestReceived:
			if !e.PossiblySeen { // whoever gives several requests one name is told so of each but the first
				a.delivered[e.ID]++
			}
		case e.Kind == parley.ExchangeFailed:
			a.failures[e.ID] = e.Err
		case e.Kind.Priority():
			a.alerts = append(a.alerts, e)
		}
		a.mu.Unlock()
		if e.Kind == parley.RequestReceived {
			a.node.Reply(e.ID, e.Body) // it may be abandoned by now
		}
	}
}

// exchange has the honest peer ask, one request after the other, and wants every
// answer.
func (a *arena) exchange(times int) {
	a.t.Helper()
	for i := range times {
		if err := a.ask(fmt.Sprint("honest ", i)); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *arena) ask(body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reply, err := a.honest.Call(ctx, a.node.PeerID(), a.node.address, []byte(body))
	if err != nil {
		return fmt.Errorf("the honest peer's exchange: %w", err)
	}
	if string(reply) != body {
		return fmt.Errorf("%q was answered with %q", body, reply)
	}
	return nil
}

// against is an attacker who is set on the node.
func (a *arena) against() *attack.Attacker {
	return &attack.Attacker{Target: attack.Target{Address: a.node.address, Peer: a.node.PeerID()}, Key: a.attacker, From: a.from}
}

// amid has the honest peer exchange for as long as an attack lasts, at least so
// many times, and returns what came of the attack. The attack ends by itself if
// it has a number of times, else when the honest peer is done.
func (a *arena) amid(run func(context.Context, *attack.Attacker) error, by *attack.Attacker, atLeast int) attack.Report {
	a.t.Helper()
	return a.attacked(run, by, func(over <-chan struct{}) {
		for i := 0; i < atLeast || by.Times > 0 && !isClosed(over); i++ {
			a.exchange(1)
		}
	})
}

// attacked runs f during an attack, which ends with it if it isn't over before,
// and returns what came of the attack.
func (a *arena) attacked(run func(context.Context, *attack.Attacker) error, by *attack.Attacker, f func(over <-chan struct{})) (report attack.Report) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	var err error
	go func() {
		defer close(over)
		err = run(ctx, by)
	}()
	defer func() {
		cancel()
		<-over
		if report = by.Report(); err != nil {
			a.t.Errorf("the attack itself failed: %v", err)
		}
		a.t.Log(report)
	}()
	f(over)
	return report
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// alerted returns the alerts of a kind that name a peer; the zero ID stands for
// those that name none.
func (a *arena) alerted(kind parley.Kind, peer identity.ID) []parley.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []parley.Event
	for _, e := range a.alerts {
		if e.Kind == kind && e.Peer == peer {
			found = append(found, e)
		}
	}
	return found
}

// untilAlerted waits for an alert of a kind that names a peer.
func (a *arena) untilAlerted(kind parley.Kind, peer identity.ID) parley.Event {
	a.t.Helper()
	a.node.until(fmt.Sprintf("%v of %s", kind, peer.Short()), func() bool { return len(a.alerted(kind, peer)) > 0 })
	return a.alerted(kind, peer)[0]
}

// wantPeace checks what holds whatever the attack was: nothing was delivered
// twice, the honest peer is blamed for nothing and goes on exchanging, and what
// the attack took is given back.
func (a *arena) wantPeace() {
	a.t.Helper()
	a.exchange(20)
	a.mu.Lock()
	for id, times := range a.delivered {
		if times > 1 {
			a.t.Errorf("%s was given to the application %d times", id, times)
		}
	}
	for _, e := range a.alerts {
		if e.Peer == a.honest.PeerID() {
			a.t.Errorf("the honest peer is named: %v: %v", e.Kind, e.Err)
		}
		if e.Kind == parley.JournalTrouble {
			a.t.Errorf("the journal suffered: %v", e.Err)
		}
	}
	a.mu.Unlock()
	for _, p := range a.node.Peers() {
		if !p.Listed {
			a.t.Errorf("the node knows a stranger: %+v", p)
		}
	}
	var now footprint
	for end := time.Now().Add(patience); ; {
		now = measureFootprint()
		if now.goroutines <= a.before.goroutines+goroutinesLeft && now.heap <= a.before.heap+heapLeft+a.kept {
			break
		}
		if time.Now().After(end) {
			a.t.Error("what the attack took is not given back")
			break
		}
		time.Sleep(10 * time.Millisecond) // leaves the processor to what ends
	}
	a.t.Logf("goroutines %d, then %d; heap %d KiB, then %d", a.before.goroutines, now.goroutines, a.before.heap>>10, now.heap>>10)
}

// wantNothingOf checks that nobody but the honest peer reached the machine.
func (a *arena) wantNothingOf(strangers string) {
	a.t.Helper()
	a.mu.Lock()
	honest := uint64(len(a.delivered))
	for id := range a.delivered {
		if id.Dialer != a.honest.PeerID() {
			a.t.Errorf("of %s the application was given %s", strangers, id)
		}
	}
	a.mu.Unlock()
	if s := a.node.Stats(); s.Requests != honest || s.NacksSent != 0 || s.Violations != 0 {
		a.t.Errorf("of %s something reached the machine: %d requests are the honest peer's, and there are %+v", strangers, honest, s)
	}
	for _, p := range a.node.Peers() {
		if p.Peer != a.honest.PeerID() && (p.Connections != 0 || p.Asked != 0 || p.Made != 0) {
			a.t.Errorf("of %s the machine knows %+v", strangers, p)
		}
	}
	for _, x := range a.node.Exchanges() {
		if x.Peer != a.honest.PeerID() {
			a.t.Errorf("of %s there is %+v", strangers, x)
		}
	}
}

// sources is so many source addresses of this machine's from which nothing else
// comes.
func sources(t testing.TB, count int) []netip.Addr {
	t.Helper()
	probe, err := net.Listen("tcp", "127.9.0.1:0")
	if err != nil {
		t.Skipf("this system has no source addresses in 127.0.0.0/8 besides 127.0.0.1 (on macOS: ifconfig lo0 alias 127.9.0.1): %v", err)
	}
	probe.Close()
	all := make([]netip.Addr, count)
	for i := range all {
		all[i] = netip.AddrFrom4([4]byte{127, 9, byte(i / 250), byte(1 + i%250)})
	}
	return all
}
