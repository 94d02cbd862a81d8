package network

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for how long nothing at all may happen, before a test gives up. It
// is more than all timeouts and pauses together that may follow one another.
const patience = 2 * time.Minute

// scene is all programs of a test. Whoever waits for one of them hears of all, so
// that patience begins anew while any gets on.
type scene struct {
	t testing.TB

	mu    sync.Mutex
	moved chan struct{} // closed and made anew at every line that a program says
}

func newScene(t testing.TB) *scene { return &scene{t: t, moved: make(chan struct{})} }

// until waits until something holds that follows from what programs have said.
func (s *scene) until(what string, holds func() bool) {
	s.t.Helper()
	for {
		s.mu.Lock()
		done, moved := holds(), s.moved
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-moved:
		case <-time.After(patience):
			s.t.Fatalf("nothing has happened for %v, while waiting until %s", patience, what)
		}
	}
}

// program is a part of this test binary in a process of its own, which can be
// killed and started again.
type program struct {
	scene  *scene
	name   string
	binary string // this one, or one with failpoints
	part   string
	dir    string
	within place
	orders []string // which it is given again when it is started again

	command *exec.Cmd
	stdin   io.WriteCloser // its end asks the process to end
	errors  bytes.Buffer
	ended   chan struct{} // closed when the process has ended
	fate    error         // how it did

	// What it said, by first words; the scene's lock guards it.
	said map[string]int
	last map[string]string // the line that began so
}

// place is where programs are started: it does something there.
type place func(do func() error) error

// here is this machine as it is.
func here(do func() error) error { return do() }

func (s *scene) program(name, part, dir string, within place) *program {
	return &program{scene: s, name: name, binary: os.Args[0], part: part, dir: dir, within: within, said: map[string]int{}, last: map[string]string{}}
}

func (p *program) start(env ...string) {
	p.scene.t.Helper()
	p.command = exec.Command(p.binary)
	p.command.Env = append(os.Environ(), append(env, child+"="+p.part, directory+"="+p.dir)...)
	p.errors.Reset()
	p.command.Stderr = &p.errors
	stdin, err := p.command.StdinPipe()
	if err != nil {
		p.scene.t.Fatal(err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		p.scene.t.Fatal(err)
	}
	if err := p.within(p.command.Start); err != nil {
		p.scene.t.Fatal(err)
	}
	p.stdin, p.ended = stdin, make(chan struct{})
	for _, order := range p.orders {
		fmt.Fprintln(p.stdin, order) // an error says that it has ended
	}
	go p.hear(stdout)
	p.scene.t.Cleanup(p.end)
}

// hear takes in what the process says, until it has ended.
func (p *program) hear(stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		word, _, _ := strings.Cut(lines.Text(), " ")
		p.scene.move(func() {
			p.said[word]++
			p.last[word] = lines.Text()
		})
	}
	p.fate = p.command.Wait()
	p.scene.move(func() { close(p.ended) })
}

// move notes something, and wakes those who wait.
func (s *scene) move(note func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	note()
	close(s.moved)
	s.moved = make(chan struct{})
}

// count is how often the program has begun a line with a word.
func (p *program) count(word string) int {
	p.scene.mu.Lock()
	defer p.scene.mu.Unlock()
	return p.said[word]
}

// lastOf is the last line that began with a word.
func (p *program) lastOf(word string) string {
	p.scene.mu.Lock()
	defer p.scene.mu.Unlock()
	return p.last[word]
}

// order gives the program a line to obey, also when it is started again.
func (p *program) order(line string) {
	p.orders = append(p.orders, line)
	fmt.Fprintln(p.stdin, line) // an error says that it has ended, and will be started again
}

// kill ends the process as a crash would: without a last word.
func (p *program) kill() {
	p.command.Process.Kill() // an error says that it has ended
	<-p.ended
}

// end is what is left to do for a process when its test is over.
func (p *program) end() {
	p.kill()
	if p.scene.t.Failed() && p.errors.Len() > 0 {
		p.scene.t.Logf("%s said:\n%s", p.name, p.errors.Bytes())
		p.errors.Reset()
	}
}

// stop asks the process to end, and is done when it has.
func (p *program) stop() {
	p.scene.t.Helper()
	p.stdin.Close()
	p.scene.until(p.name+" ends", func() bool { return p.over() })
	if p.fate != nil {
		p.scene.t.Errorf("%s ended with %v:\n%s", p.name, p.fate, p.errors.Bytes())
	}
}

func (p *program) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
