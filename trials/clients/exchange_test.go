package clients

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sources is the folder of the clients.
const sources = "../../clients"

// language is one in which there is a client.
type language struct {
	name  string
	needs []string
	// program is how the client is run, before its arguments.
	program func() ([]string, error)
}

var languages = []language{
	{"curl", []string{"sh", "curl", "awk"}, func() ([]string, error) { return script("sh", "curl", "exchange.sh") }},
	{"python", []string{"python3"}, func() ([]string, error) { return script("python3", "python", "tick.py") }},
	{"rust", []string{"cargo"}, func() ([]string, error) {
		program, err := rustTick()
		return []string{program}, err
	}},
}

func script(runs string, path ...string) ([]string, error) {
	path = append([]string{sources}, path...)
	absolute, err := filepath.Abs(filepath.Join(path...))
	return []string{runs, absolute}, err
}

// couple is two daemons, and the clients at work with them.
type couple struct {
	t       *testing.T
	dir     string
	daemons [2]*daemon
	sockets [2]string // where the clients reach them
	pairs   []*pair
}

// pair is a client that asks at the first daemon, and one that answers at the second.
type pair struct {
	lane             string
	jobs             int
	asker, answerer  *process
	asked, answering string // their ledgers
}

func newCouple(t *testing.T, set ...string) *couple {
	t.Helper()
	c := &couple{t: t, dir: shortDir(t)}
	for i, name := range []string{"a", "b"} {
		c.daemons[i] = newDaemon(t, c.dir, name)
		c.sockets[i] = c.daemons[i].socket()
		for _, one := range set {
			c.daemons[i].args = append(c.daemons[i].args, "--set", one)
		}
		c.daemons[i].start()
	}
	a, b := c.daemons[0], c.daemons[1]
	a.await()
	b.await()
	a.list(b.id, "b", b.address)
	b.list(a.id, "a", a.address)
	return c
}

// work has a language ask, and another answer.
func (c *couple) work(asks, answers language, jobs int) {
	c.t.Helper()
	p := &pair{lane: asks.name + "-" + answers.name, jobs: jobs}
	p.asked, p.answering = filepath.Join(c.dir, p.lane+".asked"), filepath.Join(c.dir, p.lane+".answered")
	p.asker = c.client(asks, p.lane+"-asker", c.sockets[0], p.asked, "ask", "b", p.lane, fmt.Sprint(jobs))
	p.answerer = c.client(answers, p.lane+"-answerer", c.sockets[1], p.answering, "answer", p.lane)
	p.asker.start()
	p.answerer.start()
	c.pairs = append(c.pairs, p)
}

func (c *couple) client(l language, name string, args ...string) *process {
	c.t.Helper()
	need(c.t, l.needs...)
	program, err := l.program()
	if err != nil {
		c.t.Fatal(err)
	}
	return &process{t: c.t, name: name, dir: c.dir, path: program[0], args: append(program[1:], args...)}
}

// progress is how long the ledgers are together, and whether the askers have ended.
func (c *couple) progress() (bytes int64, done bool) {
	c.t.Helper()
	done = true
	for _, p := range c.pairs {
		for _, path := range []string{p.asked, p.answering} {
			if file, err := os.Stat(path); err == nil {
				bytes += file.Size()
			}
		}
		done = p.asker.finished() && done
		if p.answerer.finished() {
			c.t.Fatalf("%s has ended", p.answerer.name)
		}
	}
	for _, d := range c.daemons {
		if d.finished() {
			c.t.Fatalf("daemon %s has ended", d.name)
		}
	}
	return bytes, done
}

// advance waits until the ledgers have grown by so much, or all is done.
func (c *couple) advance(by int64) (done bool) {
	c.t.Helper()
	begun, done := c.progress()
	last, moved := begun, time.Now()
	for !done {
		now, over := c.progress()
		if over || now >= begun+by {
			return over
		}
		if now != last {
			last, moved = now, time.Now()
		} else if time.Since(moved) > patience {
			c.tell()
			c.t.Fatalf("nothing has moved for %v; the ledgers have %d bytes", patience, now)
		}
		time.Sleep(time.Millisecond) // a poll of real processes
	}
	return true
}

// tell says how things stand, for when they stand still.
func (c *couple) tell() {
	for _, d := range c.daemons {
		for _, command := range [][]string{{"status"}, {"exchanges", "ls"}, {"inbox"}} {
			text, err := exec.Command(d.path, append(command, "--dir", d.directory)...).CombinedOutput()
			c.t.Logf("%s of %s (%v):\n%s", command[0], d.name, err, text[:min(len(text), 4096)])
		}
		text, err := os.ReadFile(d.said())
		c.t.Logf("the log of %s ends (%v):\n%s", d.name, err, text[max(0, len(text)-2048):])
	}
	for _, p := range c.pairs {
		for _, path := range []string{p.asked, p.answering} {
			text, err := os.ReadFile(path)
			c.t.Logf("%s ends (%v):\n%s", filepath.Base(path), err, text[max(0, len(text)-512):])
		}
	}
}

// end kills who is left, which must have been running.
func (c *couple) end() {
	c.t.Helper()
	for _, p := range c.pairs {
		p.answerer.kill()
	}
	for _, d := range c.daemons {
		d.kill()
	}
}

func TestEachLanguageAsksEachOther(t *testing.T) {
	for _, asks := range languages {
		for _, answers := range languages {
			t.Run(asks.name+" asks "+answers.name, func(t *testing.T) {
				need(t, append(asks.needs, answers.needs...)...)
				c := newCouple(t)
				c.work(asks, answers, 3)
				c.advance(1 << 40)
				c.end()
				c.audit()
			})
		}
	}
}

// bytesOfAnExchange is about what it adds to both ledgers.
const bytesOfAnExchange = 750

// A client can die after its node was told that an event is done with, and before it
// has noted so: the event won't come again, and the node may know nothing of it any more.
func TestAClientThatDidntNoteWhatItToldGoesOn(t *testing.T) {
	for i, l := range languages {
		for _, set := range [][]string{nil, {"limits.history=1"}} {
			t.Run(fmt.Sprint(l.name, set), func(t *testing.T) {
				answers := languages[(i+1)%len(languages)]
				need(t, append(l.needs, answers.needs...)...)
				c := newCouple(t, set...)
				c.work(l, answers, 3)
				c.advance(1 << 40)
				p := c.pairs[0]
				p.answerer.kill()
				for _, path := range []string{p.asked, p.answering} {
					forget(t, path, "done")
				}
				p.jobs = 5
				p.asker.args[len(p.asker.args)-1] = "5"
				p.asker.start()
				p.answerer.start()
				c.advance(1 << 40)
				c.end()
				c.audit()
			})
		}
	}
}

// forget takes the lines of a word out of a ledger.
func forget(t *testing.T, path, word string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var left strings.Builder
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, word+"\t") {
			left.WriteString(line)
		}
	}
	if err := os.WriteFile(path, []byte(left.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mix is who asks whom amid the kills, for how many of the exchanges. A shell starts
// several processes for each, so that it has fewer.
var mix = []struct {
	asks, answers, eighths int // languages, by their places
}{{0, 1, 1}, {2, 0, 1}, {1, 2, 3}, {2, 1, 3}}

// Whoever it is, no more is lost than what he hadn't told anybody yet.
func TestKilledDaemonsLoseNothingOfAnyClient(t *testing.T) {
	there := map[int]bool{}
	for i, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			need(t, l.needs...)
			there[i] = true
		})
	}
	if len(there) < 2 {
		t.Skip("of curl, python3 and cargo there aren't two")
	}
	c, made := newCouple(t), 0
	for _, m := range mix {
		if jobs := (*exchanges*m.eighths + 7) / 8; there[m.asks] && there[m.answers] {
			c.work(languages[m.asks], languages[m.answers], jobs)
			made += jobs
		}
	}
	begun, random := time.Now(), rand.New(rand.NewPCG(*seed, 0))
	for !c.pause(random) {
		victim := c.victim(random)
		if victim.finished() {
			continue
		}
		victim.kill()
		victim.start()
	}
	took := time.Since(begun)
	c.end()
	c.audit()
	daemons, clients := c.killed()
	t.Logf("%d exchanges in %.1f s; daemons were killed %d times, clients %d times", made, took.Seconds(), daemons, clients)
}

// pause waits for the moment of the next kill, one time in four before its victim has
// recovered, or until all is done.
func (c *couple) pause(random *rand.Rand) (done bool) {
	c.t.Helper()
	if random.IntN(4) > 0 {
		done = c.advance(random.Int64N(2 * int64(*every) * bytesOfAnExchange * 4 / 3))
	}
	time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond)))) // chance, on which nothing depends
	return done
}

// victim is a daemon, or one time in five a client.
func (c *couple) victim(random *rand.Rand) *process {
	if random.IntN(5) > 0 {
		return c.daemons[random.IntN(2)].process
	}
	p := c.pairs[random.IntN(len(c.pairs))]
	return []*process{p.asker, p.answerer}[random.IntN(2)]
}

func (c *couple) killed() (daemons, clients int) {
	for _, d := range c.daemons {
		daemons += d.killed - 1 // the last was its end
	}
	for _, p := range c.pairs {
		clients += p.asker.killed + p.answerer.killed - 1
	}
	return daemons, clients
}
