package parley_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// program is a node in a process of its own, which can be killed and started
// again.
type program struct {
	t       testing.TB
	part    string
	dir     string // key and journal
	id      identity.ID
	address string // where it listens, each time
	peer    *program

	command *exec.Cmd
	stdin   io.Closer // its end asks the process to stop
	lines   chan<- line
	read    chan struct{} // closed when stdout has ended
	errors  bytes.Buffer
}

// line is what a process said.
type line struct {
	of   *program
	text string
}

// programs makes two nodes that list each other. What they print comes on lines.
func programs(t testing.TB, parts [2]string, lines chan<- line) [2]*program {
	t.Helper()
	var both [2]*program
	for i, part := range parts {
		dir := t.TempDir()
		key, err := identity.LoadOrGenerate(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		both[i] = &program{t: t, part: part, dir: dir, id: key.PeerID(), address: freeAddress(t), lines: lines}
	}
	both[0].peer, both[1].peer = both[1], both[0]
	return both
}

// freeAddress is one on which nobody listens, for a node that is to come back
// to it.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *program) start() {
	p.t.Helper()
	p.command = exec.CommandContext(p.t.Context(), os.Args[0])
	p.command.Env = append(os.Environ(), child+"="+p.part, "PARLEY_TEST_DIR="+p.dir, "PARLEY_TEST_ADDRESS="+p.address,
		"PARLEY_TEST_PEER="+p.peer.id.String(), "PARLEY_TEST_PEER_ADDRESS="+p.peer.address)
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
	go func() {
		defer close(p.read)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			select {
			case p.lines <- line{p, s.Text()}:
			case <-p.t.Context().Done():
				return
			}
		}
	}()
}

// kill ends the process as a crash would: without a last word.
func (p *program) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.read
	_ = p.command.Wait() // which says that it was killed
}

// stop asks the process to close its node and end.
func (p *program) stop() {
	p.t.Helper()
	p.stdin.Close()
	<-p.read
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("the %s ended with %v:\n%s", p.part, err, p.errors.Bytes())
	}
}

// playing is the node of a process that a test started.
type playing struct {
	*parley.Handler
	dir     string
	list    *allowlist.List
	peer    identity.ID
	address string        // the peer's
	stopped chan struct{} // closed when the test wants the process to end
}

// play starts the node of this process.
func play(change func(*parley.Config)) (*playing, error) {
	p := &playing{dir: os.Getenv("PARLEY_TEST_DIR"), address: os.Getenv("PARLEY_TEST_PEER_ADDRESS"), stopped: make(chan struct{})}
	key, err := identity.Load(filepath.Join(p.dir, "key"))
	if err != nil {
		return nil, err
	}
	if p.peer, err = identity.ParseID(os.Getenv("PARLEY_TEST_PEER")); err != nil {
		return nil, err
	}
	if p.list, err = allowlist.New(allowlist.Member{ID: p.peer, Addresses: []string{p.address}}); err != nil {
		return nil, err
	}
	config := parley.Config{
		AllowList: p.list, Dir: filepath.Join(p.dir, "journal"), RetryMax: 100 * time.Millisecond, PollMax: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	change(&config)
	if p.Handler, err = parley.New(os.Getenv("PARLEY_TEST_ADDRESS"), key, config); err != nil {
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
