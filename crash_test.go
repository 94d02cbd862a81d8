package parley_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
)

var (
	crashSeed = flag.Uint64("crash-seed", 1, "of the moments at which TestProcessesThatAreKilled kills")
	crashRuns = flag.Int("crash-runs", 1, "how many seeds TestProcessesThatAreKilled tries")
)

func init() { parts["asker"], parts["answerer"] = ask, answer }

const (
	crashes  = 20 // of a run
	jobs     = 80 // requests of the asker
	jobLanes = 4
)

// Two processes exchange requests and replies. Either is killed again and again
// and started again on its directory. Every exchange completes, and has its
// effect once on each side, though each side sees to that only by writing the
// exchange's ID together with its effect.
func TestProcessesThatAreKilled(t *testing.T) {
	for run := range *crashRuns {
		seed := *crashSeed + uint64(run)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { killProcesses(t, seed) })
	}
}

func killProcesses(t *testing.T, seed uint64) {
	lines := make(chan line, 64)
	both := programs(t, [2]string{"asker", "answerer"}, lines)
	asker, answerer := both[0], both[1]
	asker.start()
	answerer.start()

	random := rand.New(rand.NewPCG(seed, 0))
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	killed := 0
	said := map[*program]int{}
	for left, done := 0, false; !done; {
		if left == 0 && killed < crashes {
			left = 1 + random.IntN(2*jobs/crashes)
		}
		select {
		case l := <-lines:
			done = l.text == "done"
			said[l.of]++
			timeout.Reset(patience)
		case <-timeout.C:
			t.Fatalf("no progress after %d crashes; the asker said:\n%s\nthe answerer:\n%s", killed, &asker.errors, &answerer.errors)
		}
		if left--; left == 0 && !done {
			victim := both[random.IntN(2)]
			victim.kill()
			victim.start()
			killed++
		}
	}
	asker.stop()
	answerer.stop()
	t.Logf("%d crashes; %d lines of the asker, %d of the answerer", killed, said[asker], said[answerer])

	jobOf := checkAsker(t, readLedger(t, asker))
	checkAnswerer(t, readLedger(t, answerer), jobOf)
}

// checkAsker reads what the asker wrote down, and returns each exchange's job.
func checkAsker(t *testing.T, entries [][]string) map[string]string {
	jobOf, fresh, effects, committed := map[string]string{}, map[string]int{}, map[string]int{}, map[string]bool{}
	for _, entry := range entries {
		what, id, more := entry[0], entry[1], entry[2]
		switch what {
		case "asked":
			if job, known := jobOf[id]; known && job != more {
				t.Errorf("%s is job %s and %s", id, job, more)
			}
			jobOf[id] = more
		case "first":
			fresh[id]++
			fallthrough
		case "again":
			if committed[id] {
				t.Errorf("the reply to job %s came after it was committed", jobOf[id])
			}
		case "effect":
			effects[id]++
			if want := "answer to " + jobOf[id]; more != want {
				t.Errorf("job %s was answered with %q", jobOf[id], more)
			}
		case "committed":
			committed[id] = true
		}
	}
	if len(jobOf) != jobs || len(effects) != jobs {
		t.Errorf("%d jobs were asked by %d exchanges, %d had an effect", jobs, len(jobOf), len(effects))
	}
	for id, job := range jobOf {
		if effects[id] != 1 || fresh[id] > 1 {
			t.Errorf("job %s has %d effects; its reply came %d times as new", job, effects[id], fresh[id])
		}
	}
	return jobOf
}

// checkAnswerer reads what the answerer wrote down.
func checkAnswerer(t *testing.T, entries [][]string, jobOf map[string]string) {
	fresh, effects, answered, last := map[string]int{}, map[string]int{}, map[string]bool{}, map[int]int{}
	for _, entry := range entries {
		what, id, more := entry[0], entry[1], entry[2]
		switch what {
		case "first":
			fresh[id]++
			fallthrough
		case "again":
			if answered[id] {
				t.Errorf("the request of job %s came after it was answered", more)
			}
		case "effect":
			effects[id]++
			var job int
			fmt.Sscan(more, &job)
			if before, some := last[job%jobLanes]; some && job != before+jobLanes {
				t.Errorf("job %d came after job %d of the same lane", job, before)
			}
			last[job%jobLanes] = job
		case "answered":
			answered[id] = true
		}
	}
	for id, job := range jobOf {
		if effects[id] != 1 || fresh[id] > 1 {
			t.Errorf("job %s has %d effects; its request came %d times as new", job, effects[id], fresh[id])
		}
	}
	if len(effects) != jobs {
		t.Errorf("%d effects of %d jobs", len(effects), jobs)
	}
}

// ask is the part of the asker. Its requests have keys, so that it needn't know
// after a crash which of them it has made.
func ask() error {
	p, err := play(func(c *parley.Config) { c.ExplicitCommit = true })
	if err != nil {
		return err
	}
	written, err := openLedger(p.dir)
	if err != nil {
		return err
	}
	messages := make([]parley.Message, jobs)
	for i := range messages {
		job := fmt.Sprint(i)
		messages[i] = parley.Message{Peer: p.peer, Lane: fmt.Sprint(i % jobLanes), Key: job, Body: padded(job, i)}
	}
	ids, err := p.Send(messages...)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if !written.has("asked", id) {
			if err := written.note("asked", id, fmt.Sprint(i)); err != nil {
				return err
			}
		}
	}
	for written.count["effect"] < jobs || len(p.Exchanges()) > 0 {
		e, err := p.Receive(context.Background())
		if err != nil {
			return err
		}
		if e.Kind.Priority() {
			continue
		}
		if e.Kind != parley.ReplyReceived {
			return fmt.Errorf("%v came: %w", e.Kind, e.Err)
		}
		if err := written.takeOnce(e); err != nil {
			return err
		}
		if err := p.Commit(e.ID); err != nil {
			return err
		}
		if err := written.note("committed", e.ID, "-"); err != nil {
			return err
		}
		fmt.Println("committed")
	}
	fmt.Println("done")
	<-p.stopped
	return p.Close()
}

// padded makes messages of all three sizes that are treated apart: sent at once,
// sent when there is room, and kept in a file of their own.
func padded(text string, job int) []byte {
	size := len(text)
	switch {
	case job%20 == 7:
		size = 2 << 20
	case job%5 == 3:
		size = 200 << 10
	}
	return append([]byte(text), bytes.Repeat([]byte{' '}, size-len(text))...)
}

// answer is the part of the answerer.
func answer() error {
	p, err := play(func(*parley.Config) {})
	if err != nil {
		return err
	}
	written, err := openLedger(p.dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-p.stopped
		cancel()
	}()
	for e := range p.Events(ctx) {
		if e.Kind.Priority() {
			continue
		}
		if e.Kind != parley.RequestReceived {
			return fmt.Errorf("%v came: %w", e.Kind, e.Err)
		}
		if err := written.takeOnce(e); err != nil {
			return err
		}
		var job int
		if _, err := fmt.Sscan(string(e.Body), &job); err != nil {
			return err
		}
		if err := p.Reply(e.ID, padded(fmt.Sprint("answer to ", job), job)); err != nil {
			return err
		}
		if err := written.note("answered", e.ID, fmt.Sprint(job)); err != nil {
			return err
		}
		fmt.Println("answered")
	}
	return p.Close()
}

// ledger is an application's durable state: lines of a word, an exchange and
// more. What is true of an exchange and what it brought about are one line, so
// that a crash leaves both or neither.
type ledger struct {
	file  *os.File
	known map[string]bool
	count map[string]int
}

func openLedger(dir string) (*ledger, error) {
	file, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		return nil, err
	}
	whole := content[:bytes.LastIndexByte(content, '\n')+1] // a torn line never was
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	l := &ledger{file: file, known: map[string]bool{}, count: map[string]int{}}
	for text := range strings.Lines(string(whole)) {
		entry := strings.SplitN(text, "\t", 3)
		l.known[entry[0]+entry[1]] = true
		l.count[entry[0]]++
	}
	return l, nil
}

func (l *ledger) has(what string, id parley.ID) bool { return l.known[what+id.String()] }

func (l *ledger) note(what string, id parley.ID, more string) error {
	l.known[what+id.String()] = true
	l.count[what]++
	_, err := fmt.Fprintf(l.file, "%s\t%s\t%s\n", what, id, more)
	return errors.Join(err, l.file.Sync())
}

// takeOnce notes that an event came, and has its effect if it hasn't had it.
func (l *ledger) takeOnce(e parley.Event) error {
	came := "first"
	if e.Redelivered {
		came = "again"
	}
	text := string(bytes.TrimRight(e.Body, " "))
	if err := l.note(came, e.ID, text); err != nil || l.has("effect", e.ID) {
		return err
	}
	return l.note("effect", e.ID, text)
}

func readLedger(t *testing.T, p *program) [][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	var entries [][]string
	for text := range strings.Lines(string(content)) {
		entry := strings.SplitN(strings.TrimSuffix(text, "\n"), "\t", 3)
		if len(entry) == 3 { // else it is the last line of a process that was killed
			entries = append(entries, entry)
		}
	}
	return entries
}
