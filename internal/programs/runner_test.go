package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// fakeNode has the requests that a test makes, and gives what became of them.
type fakeNode struct {
	mu     sync.Mutex
	bodies map[parley.ID][]byte
	ended  map[parley.ID]bool
	fail   []error // what Reply says, one after the other
	ends   chan string
}

func newFakeNode() *fakeNode {
	return &fakeNode{bodies: map[parley.ID][]byte{}, ended: map[parley.ID]bool{}, ends: make(chan string, 100)}
}

func (n *fakeNode) Exchange(id parley.ID) (parley.Exchange, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended[id] {
		return parley.Exchange{}, parley.ErrUnknown
	}
	return parley.Exchange{ID: id}, nil
}

func (n *fakeNode) Body(id parley.ID) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bodies[id], nil
}

func (n *fakeNode) Take(parley.ID) error { return nil }

func (n *fakeNode) Reply(_ parley.ID, body []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fail) > 0 {
		err := n.fail[0]
		n.fail = n.fail[1:]
		return err
	}
	n.ends <- "reply " + string(body)
	return nil
}

func (n *fakeNode) Reject(_ parley.ID, reason string) error {
	n.ends <- "reject " + reason
	return nil
}

// bench runs programs for a fake node.
type bench struct {
	*Runner
	t    *testing.T
	node *fakeNode
	dir  string
	dead chan parley.Event
	stop func()
}

// script is a shell script as a program.
func script(t *testing.T, directory, text string) []string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("shell scripts are no programs on Windows")
	}
	path := filepath.Join(directory, "handler")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// newBench runs one script, for all lanes.
func newBench(t *testing.T, text string, p Program) *bench {
	t.Helper()
	b := &bench{t: t, node: newFakeNode(), dir: t.TempDir(), dead: make(chan parley.Event, 100)}
	p.Command = script(t, b.dir, text)
	p.RetryMin, p.RetryMax = time.Millisecond, time.Millisecond
	b.start(p)
	return b
}

func (b *bench) start(all ...Program) {
	b.t.Helper()
	r, err := New(b.node, Options{
		Programs: all, Directory: b.dir, Name: func(identity.ID) string { return "alice" }, MaxReply: 1000, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx, func(e parley.Event) { b.dead <- e }) }()
	b.Runner = r
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.stop)
}

// request is a request of a peer, numbered so that tests can tell them apart.
func (b *bench) request(number byte, body string) parley.Event {
	b.t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		b.t.Fatal(err)
	}
	e := parley.Event{Kind: parley.RequestReceived, Peer: key.PeerID(), ID: parley.ID{Dialer: key.PeerID(), Tag: [16]byte{number}}, Lane: "lane"}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	b.node.bodies[e.ID] = []byte(body)
	return e
}

func (b *bench) offer(e parley.Event) {
	b.t.Helper()
	if !b.Offer(e) {
		b.t.Fatal("no program takes the request")
	}
}

func (b *bench) ends(want string) {
	b.t.Helper()
	if got := <-b.node.ends; got != want {
		b.t.Errorf("it ended as %q, want %q", got, want)
	}
}

func TestWhatAProgramPrintsIsTheReply(t *testing.T) {
	b := newBench(t, `cat; echo " for $PARLEY_NAME $PARLEY_PEER on $PARLEY_LANE $PARLEY_EXCHANGE ($PARLEY_REDELIVERED) until $PARLEY_DEADLINE in $PARLEY_DIR"`, Program{})
	e := b.request(1, "question")
	e.Deadline = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	b.offer(e)
	b.ends(fmt.Sprintf("reply question for alice %s on lane %s () until 2030-01-02T03:04:05Z in %s\n", e.Peer, e.ID, b.dir))
	e = b.request(2, "again")
	e.Redelivered = true
	b.offer(e)
	b.ends(fmt.Sprintf("reply again for alice %s on lane %s (1) until  in %s\n", e.Peer, e.ID, b.dir))
}

func TestAnExitOf100RejectsTheRequest(t *testing.T) {
	b := newBench(t, `if [ "$(cat)" = out ]; then echo not today; else echo never >&2; fi; exit 100`, Program{})
	b.offer(b.request(1, "out"))
	b.ends("reject not today")
	b.offer(b.request(2, "err"))
	b.ends("reject never")
}

func TestAReasonIsCutAtWhatAPeerIsTold(t *testing.T) {
	r := result{output: []byte(strings.Repeat("é", maxReason) + "\xff")}
	if got := r.reason(); len(got) != maxReason || strings.Contains(got, "\xff") {
		t.Errorf("the reason has %d bytes", len(got))
	}
}

func TestAFailureIsTriedAgainAndMarked(t *testing.T) {
	b := newBench(t, `if [ -z "$PARLEY_REDELIVERED" ]; then exit 1; fi; echo -n well`, Program{})
	b.offer(b.request(1, ""))
	b.ends("reply well")
	if letters := b.DeadLetters(); len(letters) != 0 {
		t.Errorf("dead letters: %v", letters)
	}
}

func TestTheLastFailureMakesADeadLetterThatSurvivesARestart(t *testing.T) {
	b := newBench(t, `echo x >> tries; [ -e good ] || exit 3; echo -n well`, Program{Attempts: 3})
	e := b.request(1, "")
	b.offer(e)
	if dead := <-b.dead; dead.ID != e.ID {
		t.Fatalf("clients were given %v", dead)
	}
	tries, err := os.ReadFile(filepath.Join(b.dir, "tries"))
	if err != nil || len(tries) != 6 {
		t.Errorf("it was tried %d times (%v)", len(tries)/2, err)
	}
	b.stop()
	b.start(b.pools[0].Program)
	if b.Offer(e) {
		t.Error("a program was given a dead letter")
	}
	letters := b.DeadLetters()
	if len(letters) != 1 || letters[0].ID != e.ID || letters[0].Attempts != 3 || letters[0].Reason != "exit status 3" {
		t.Fatalf("dead letters: %+v", letters)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "good"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := 0
	if err := b.Retry(e.ID, func(parley.ID) { taken++ }); err != nil || taken != 1 {
		t.Fatalf("taken from clients %d times: %v", taken, err)
	}
	b.ends("reply well")
	if letters := b.DeadLetters(); len(letters) != 0 {
		t.Errorf("dead letters: %v", letters)
	}
	if err := b.Retry(e.ID, func(parley.ID) { taken++ }); !errors.Is(err, ErrNotDead) || taken != 1 {
		t.Errorf("retried again: %v", err)
	}
}

func TestADeadLetterThatWasEndedMeanwhileIsLetGo(t *testing.T) {
	b := newBench(t, `exit 1`, Program{Attempts: 1})
	first, second := b.request(1, ""), b.request(2, "")
	b.offer(first)
	b.offer(second)
	<-b.dead
	<-b.dead
	if b.Drop(first.ID) {
		t.Error("a program had a dead letter")
	}
	b.stop()
	b.node.ended[second.ID] = true // just before a crash
	b.start(b.pools[0].Program)
	if letters := b.DeadLetters(); len(letters) != 0 {
		t.Errorf("dead letters: %v", letters)
	}
}

func TestTheListOfDeadLettersIsBounded(t *testing.T) {
	d := &deadLetters{path: filepath.Join(t.TempDir(), deadLettersFile)}
	for range maxDead {
		d.letters = append(d.letters, DeadLetter{})
	}
	if err := d.add(DeadLetter{}); !errors.Is(err, errManyDead) {
		t.Errorf("one more: %v", err)
	}
}

func TestTheTimeLimitKillsWhatTheProgramStarted(t *testing.T) {
	b := newBench(t, `(trap '' TERM; exec 3>held; while :; do sleep 1; done) & wait`, Program{TimeLimit: 300 * time.Millisecond, Attempts: 1})
	path := filepath.Join(b.dir, "held")
	if out, err := exec.Command("mkfifo", path).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	held, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	b.offer(b.request(1, ""))
	<-b.dead
	if reason := b.DeadLetters()[0].Reason; !strings.Contains(reason, "time limit") {
		t.Errorf("the reason is %q", reason)
	}
	if _, err := io.ReadAll(held); err != nil { // it ends once no process holds the other end
		t.Error(err)
	}
}

func TestAProgramThatLeavesItsOutputOpenHasFailed(t *testing.T) {
	b := newBench(t, `sleep 600 & echo well`, Program{Attempts: 1})
	b.offer(b.request(1, ""))
	<-b.dead
	if reason := b.DeadLetters()[0].Reason; !strings.Contains(reason, "left processes behind") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestAReplyThatIsTooLargeHasFailed(t *testing.T) {
	b := newBench(t, `yes`, Program{Attempts: 1})
	b.offer(b.request(1, ""))
	<-b.dead
	if reason := b.DeadLetters()[0].Reason; !strings.Contains(reason, "1000 bytes") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestNoMoreRunThanMay(t *testing.T) {
	b := newBench(t, `mkdir running.$$; ls -d running.* | wc -l; sleep 0.05; rmdir running.$$`, Program{Concurrency: 2})
	for i := range byte(8) {
		b.offer(b.request(i, ""))
	}
	for range 8 {
		if said := strings.Fields(<-b.node.ends); said[1] != "1" && said[1] != "2" {
			t.Errorf("%s ran at once", said[1])
		}
	}
}

func TestPeersTakeTurns(t *testing.T) {
	p := &pool{waiting: map[identity.ID][]*job{}}
	b := &bench{t: t, node: newFakeNode()}
	much, little := b.request(1, ""), b.request(2, "")
	for i := range byte(3) {
		e := much
		e.ID.Tag[1] = i
		p.add(&job{event: e, pool: p})
	}
	p.add(&job{event: little, pool: p})
	var order []identity.ID
	for j := p.next(); j != nil; j = p.next() {
		order = append(order, j.event.Peer)
	}
	if want := []identity.ID{much.Peer, little.Peer, much.Peer, much.Peer}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}

func TestARequestThatIsGivenUpHasItsProgramKilled(t *testing.T) {
	b := newBench(t, `touch started; sleep 600`, Program{Concurrency: 1})
	e := b.request(1, "")
	b.offer(e)
	waits := b.request(2, "")
	b.offer(waits)
	for {
		if _, err := os.Stat(filepath.Join(b.dir, "started")); err == nil {
			break
		}
		time.Sleep(time.Millisecond) // a poll of a real process
	}
	if !b.Drop(waits.ID) || !b.Drop(e.ID) {
		t.Error("no program had it")
	}
	b.running.Wait()
	if len(b.jobs) != 0 || len(b.pools[0].waiting) != 0 || len(b.pools[0].turns) != 0 {
		t.Errorf("%d requests are left", len(b.jobs))
	}
}

func TestTheLongestLaneThatFitsCounts(t *testing.T) {
	b := newBench(t, `echo -n "$1"`, Program{})
	command := b.pools[0].Command[0]
	b.stop()
	b.start(Program{Lane: "l", Command: []string{command, "short"}}, Program{Lane: "lane", Command: []string{"./handler", "long"}})
	b.offer(b.request(1, ""))
	b.ends("reply long")
	e := b.request(2, "")
	e.Lane = "other"
	if b.Offer(e) {
		t.Error("a program takes a lane that isn't its own")
	}
}

func TestProgramsThatCannotBeRunAreRefused(t *testing.T) {
	here := []string{os.Args[0]}
	for says, all := range map[string][]Program{
		"command is missing":  {{}},
		"executable":          {{Command: []string{"./nothing"}}},
		"the same lane":       {{Lane: "a", Command: here}, {Lane: "a", Command: here}},
		"time_limit is negat": {{Command: here, TimeLimit: -1}},
	} {
		if err := Check(all, t.TempDir()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
}

func TestMoreThanANodeMayRunIsRefused(t *testing.T) {
	here := []string{os.Args[0]}
	all := []Program{{Lane: "a", Command: here, Concurrency: maxRunning - defaultConcurrency}, {Lane: "b", Command: here}}
	if err := Check(all, t.TempDir()); err != nil {
		t.Errorf("as many as may run: %v", err)
	}
	all[0].Concurrency++
	if err := Check(all, t.TempDir()); err == nil || !strings.Contains(err.Error(), "concurrency") {
		t.Errorf("one more: %v", err)
	}
	all = nil
	for i := range maxPrograms + 1 {
		all = append(all, Program{Lane: fmt.Sprint(i), Command: here, Concurrency: 1})
	}
	if err := Check(all[1:], t.TempDir()); err != nil {
		t.Errorf("as many programs as there may be: %v", err)
	}
	if err := Check(all, t.TempDir()); err == nil {
		t.Error("one more program is taken")
	}
}

func TestTheDelayGrowsUpToItsLimit(t *testing.T) {
	p := Program{RetryMin: time.Second, RetryMax: 5 * time.Second}
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1000: 5 * time.Second} {
		if got := p.delay(failures); got != want {
			t.Errorf("after %d failures it is %s, want %s", failures, got, want)
		}
	}
}
