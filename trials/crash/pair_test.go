package crash

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func (p *pair) start() {
	p.t.Helper()
	p.asker.start()
	p.answerer.start()
}

func (p *pair) of(side string) *program {
	if side == p.asker.part {
		return p.asker
	}
	return p.answerer
}

// awaitEnd waits until the asker is done, and reports whether it came to that: not,
// when the victim died before.
func (p *pair) awaitEnd(victim *program) bool {
	p.t.Helper()
	for {
		if came, done := p.await(1, victim); !came {
			return done
		}
	}
}

// await waits for so many lines, and reports whether they came: not, when the victim
// died before by itself or the asker is done.
func (p *pair) await(lines int, victim *program) (came, done bool) {
	p.t.Helper()
	for range lines {
		select {
		case l := <-p.lines:
			if l.text == "done" {
				return false, true
			}
			p.hear(l)
		case <-victim.read:
			return false, false
		case <-victim.peer.read:
			victim.peer.bury() // which fails: it wasn't to die
			p.t.Fatalf("the %s was killed by someone else", victim.peer.part)
		case <-time.After(patience):
			p.stuck()
		}
	}
	return true, false
}

// hear notes what a process said that the test counts.
func (p *pair) hear(l line) {
	what, of, _ := strings.Cut(l.text, ": ")
	switch {
	case what == "tally":
		p.tally = of
	case what == "out of room" && strings.Contains(of, ".sst"):
		p.heard["tables refused"]++
	case what == "out of room":
		p.heard["other files refused"]++
	case what == "full":
		p.heard["refusals for want of room"]++
	}
}

// stuck ends the test with what both are waiting for.
func (p *pair) stuck() {
	p.t.Helper()
	for _, of := range []*program{p.asker, p.answerer} {
		if err := of.command.Process.Signal(syscall.SIGQUIT); err == nil {
			<-of.read
			_ = of.command.Wait() // which copies the last of what it said
		}
	}
	p.t.Fatalf("no progress after %d crashes; the asker said:\n%s\nthe answerer:\n%s", p.killed, &p.asker.errors, &p.answerer.errors)
}

// kill kills a process.
func (p *pair) kill(victim *program) {
	p.t.Helper()
	victim.kill()
	p.killed++
	killed.Add(1)
}

// wind up: no more jobs are begun, and those that are under way end.
func (p *pair) windUp() {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.asker.dir, enough), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if !p.awaitEnd(p.asker) {
		p.asker.bury()
		p.t.Fatal("the asker was killed by someone else")
	}
	p.end()
}

// end stops both when the asker is done, and audits them. One that was to die may do
// so at the very last; it is started again then, for what the other side still waits
// for. It reports whether that happened.
func (p *pair) end() (died bool) {
	p.t.Helper()
	go func() { // what they still say
		for {
			select {
			case <-p.lines:
			case <-p.t.Context().Done():
				return
			}
		}
	}()
	for _, part := range []*program{p.answerer, p.asker} {
		for part.stop() {
			died = true
			p.killed++
			killed.Add(1)
			part.start()
		}
	}
	p.audit()
	return died
}
