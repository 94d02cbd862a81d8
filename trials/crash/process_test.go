package crash

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// program is a node in a process of its own, which can be killed and started again.
type program struct {
	t       testing.TB
	path    string // of the executable
	part    string
	dir     string // key and ledger
	journal string // a directory
	id      identity.ID
	address string // where it listens, each time
	peer    *program
	env     []string // for every life

	command *exec.Cmd
	stdin   io.Closer // its end asks the process to stop
	lines   chan<- line
	read    chan struct{} // closed when stdout has ended
	errors  bytes.Buffer
	lives   int
	mortal  bool // it is to die at a failpoint
}

// line is what a process said.
type line struct {
	of   *program
	text string
}

// pair is two processes that list each other.
type pair struct {
	t               testing.TB
	asker, answerer *program
	lines           chan line
	killed          int
	heard           map[string]int // what the processes said, how often
	tally           string         // what the asker has counted in its last life
}

func newPair(t testing.TB, path string, jobs int, env ...string) *pair {
	t.Helper()
	p := &pair{t: t, lines: make(chan line, 64), heard: map[string]int{}}
	env = append(env, fmt.Sprint("PARLEY_TRIAL_SEED=", *seed), fmt.Sprint("PARLEY_TRIAL_JOBS=", jobs))
	p.asker, p.answerer = newProgram(t, path, "asker", p.lines, env), newProgram(t, path, "answerer", p.lines, env)
	p.asker.peer, p.answerer.peer = p.answerer, p.asker
	return p
}

func newProgram(t testing.TB, path, part string, lines chan<- line, env []string) *program {
	t.Helper()
	dir := t.TempDir()
	key, err := identity.LoadOrGenerate(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	return &program{t: t, path: path, part: part, dir: dir, journal: filepath.Join(dir, "journal"), id: key.PeerID(), address: freeAddress(t), lines: lines, env: env}
}

var addresses atomic.Int64

// freeAddress is one on which nobody listens, for a node that is to come back to it.
// Linux has loopback addresses enough for each to have its own: else, while the node
// is down, a connection of another might be given its port.
func freeAddress(t testing.TB) string {
	t.Helper()
	ip := "127.0.0.1"
	if runtime.GOOS == "linux" {
		n := addresses.Add(1)
		ip = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n/250, 1+n%250)
	}
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start begins a life. What is added to its environment has it die somewhere.
func (p *program) start(env ...string) {
	p.t.Helper()
	p.lives++
	p.mortal = len(env) > 0
	p.command = exec.CommandContext(p.t.Context(), p.path)
	p.command.Env = append(append(os.Environ(), "PARLEY_TRIAL_PART="+p.part, "PARLEY_TRIAL_DIR="+p.dir, "PARLEY_TRIAL_JOURNAL="+p.journal, "PARLEY_TRIAL_ADDRESS="+p.address,
		"PARLEY_TRIAL_PEER="+p.peer.id.String(), "PARLEY_TRIAL_PEER_ADDRESS="+p.peer.address), p.env...)
	p.command.Env = append(p.command.Env, env...)
	p.command.Stderr = &p.errors
	stdin, err := p.command.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.stdin, p.read = stdin, make(chan struct{})
	read := p.read
	go func() {
		defer close(read)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			select {
			case p.lines <- line{p, s.Text()}:
			case <-p.t.Context().Done():
				return
			}
		}
	}()
}

// kill ends the process as a crash would: without a last word. It may have ended so
// by itself.
func (p *program) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	p.bury()
}

// bury waits for the end of a process that is killed, and sees to it that it didn't
// end in another way.
func (p *program) bury() {
	p.t.Helper()
	for reading := true; reading; {
		select {
		case <-p.read:
			reading = false
		case <-p.t.Context().Done():
			p.t.FailNow()
		}
	}
	_ = p.command.Wait() // which says that it was killed
	if !p.wasKilled() {
		p.t.Fatalf("the %s ended in its life %d with %v:\n%s", p.part, p.lives, p.command.ProcessState, &p.errors)
	}
}

func (p *program) wasKilled() bool {
	status, unix := p.command.ProcessState.Sys().(syscall.WaitStatus)
	return unix && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop asks the process to close its node and end. One that was to die somewhere may
// do so first, which it reports.
func (p *program) stop() (died bool) {
	p.t.Helper()
	p.stdin.Close()
	<-p.read
	err := p.command.Wait()
	switch {
	case err == nil:
		return false
	case p.mortal && p.wasKilled():
		return true
	}
	p.t.Fatalf("the %s ended with %v:\n%s", p.part, err, &p.errors)
	return false
}

// playing is the node of a process that a test started.
type playing struct {
	*parley.Handler
	dir     string
	seed    uint64 // of the jobs
	list    *allowlist.List
	peer    identity.ID
	stopped chan struct{} // closed when the test wants the process to end
}

// open starts the node of this process.
func open(change func(*parley.Config)) (*playing, error) {
	p := &playing{dir: os.Getenv("PARLEY_TRIAL_DIR"), stopped: make(chan struct{})}
	key, err := identity.Load(filepath.Join(p.dir, "key"))
	if err != nil {
		return nil, err
	}
	if p.seed, err = strconv.ParseUint(os.Getenv("PARLEY_TRIAL_SEED"), 10, 64); err != nil {
		return nil, err
	}
	if p.peer, err = identity.ParseID(os.Getenv("PARLEY_TRIAL_PEER")); err != nil {
		return nil, err
	}
	address := os.Getenv("PARLEY_TRIAL_PEER_ADDRESS")
	if p.list, err = allowlist.New(allowlist.Member{ID: p.peer, Addresses: []string{address}}); err != nil {
		return nil, err
	}
	config := parley.Config{
		AllowList: p.list, Dir: os.Getenv("PARLEY_TRIAL_JOURNAL"), RetryMax: 100 * time.Millisecond, PollMax: 100 * time.Millisecond,
		MaxArrivalsPerSecondPerIP: 1000, MaxHandshakesPerSecond: 1000,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if os.Getenv("PARLEY_TRIAL_HASTY") != "" {
		hasty(&config)
	}
	change(&config)
	if p.Handler, err = parley.New(os.Getenv("PARLEY_TRIAL_ADDRESS"), key, config); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.stopped)
		_, err := io.Copy(io.Discard, os.Stdin)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return p, nil
}

// hasty makes every timeout short.
func hasty(c *parley.Config) {
	c.DisconnectionTimeout, c.AckTimeout, c.FrameTimeout = 300*time.Millisecond, 200*time.Millisecond, 400*time.Millisecond
	c.HandshakeTimeout, c.DialTimeout, c.CloseTimeout = 400*time.Millisecond, 400*time.Millisecond, 200*time.Millisecond
	c.KeepAlive = 100 * time.Millisecond
}

// blame is what a priority event means that a crash can't have brought about.
func blame(e parley.Event) error {
	switch {
	case e.Kind == parley.MessageDropped: // a frame that was cut off
		return nil
	case strings.Contains(e.Err.Error(), parley.ErrDiskFull.Error()): // here, or at the peer
		fmt.Println("full")
		return nil
	}
	return fmt.Errorf("%v came: %w", e.Kind, e.Err)
}
