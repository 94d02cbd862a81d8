package crash

import (
	"os"
	"path/filepath"
	"time"
)

func (p *pair) start() {
	p.t.Helper()
	p.asker.start()
	p.answerer.start()
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

func (p *pair) stuck() {
	p.t.Helper()
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
	for done := false; !done; {
		_, done = p.await(1, p.asker)
		if !done && p.isOver(p.asker) {
			p.asker.bury()
			p.t.Fatal("the asker was killed by someone else")
		}
	}
	p.end()
}

func (p *pair) isOver(of *program) bool {
	select {
	case <-of.read:
		return true
	default:
		return false
	}
}

// end stops both when the asker is done, and audits them.
func (p *pair) end() {
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
	p.answerer.stop()
	p.asker.stop()
	p.audit()
}
