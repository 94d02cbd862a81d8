package clients

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// process is a program that can be killed and started again.
type process struct {
	t      testing.TB
	name   string
	path   string
	args   []string
	dir    string   // of its output, and where it works
	killed int      // how often
	ended  chan any // closed when it has
	*exec.Cmd
}

// start begins a life. What it says goes to a file, which no child that outlives it
// keeps the test waiting for.
func (p *process) start() {
	p.t.Helper()
	said, err := os.OpenFile(p.said(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer said.Close()
	p.Cmd = exec.CommandContext(p.t.Context(), p.path, p.args...)
	p.Stdout, p.Stderr = said, said
	if _, err := p.StdinPipe(); err != nil { // to some its end is the word to stop
		p.t.Fatal(err)
	}
	p.Env = append(os.Environ(), "TMPDIR="+p.dir, "PYTHONDONTWRITEBYTECODE=1")
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan any)
	go func(c *exec.Cmd, ended chan any) {
		_ = c.Wait() // its state says how
		close(ended)
	}(p.Cmd, p.ended)
}

func (p *process) said() string { return filepath.Join(p.dir, p.name+".log") }

// kill ends it as a crash would. A program that has finished can't be.
func (p *process) kill() {
	p.t.Helper()
	err := p.Process.Kill()
	<-p.ended
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	if p.ProcessState.Exited() && !p.ProcessState.Success() {
		p.fail()
	}
	p.killed++
}

// finished reports whether it has ended well.
func (p *process) finished() bool {
	p.t.Helper()
	select {
	case <-p.ended:
	default:
		return false
	}
	if !p.ProcessState.Success() {
		p.fail()
	}
	return true
}

func (p *process) fail() {
	p.t.Helper()
	text, err := os.ReadFile(p.said())
	if err != nil {
		p.t.Error(err)
	}
	p.t.Fatalf("%s ended with %v:\n%s", p.name, p.ProcessState, text[max(0, len(text)-4096):])
}

// daemon is a node by `parley run`.
type daemon struct {
	*process
	id, address, directory string
	api                    string // its TCP address
}

// newDaemon makes a node that listens at the same place in each of its lives, and
// tries again soon what has failed.
func newDaemon(t testing.TB, dir, name string) *daemon {
	t.Helper()
	program, err := parley()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{directory: filepath.Join(dir, name), address: freeAddress(t), api: freeAddress(t)}
	text, err := exec.Command(program, "init", "--dir", d.directory, "--listen", d.address).CombinedOutput()
	if err != nil {
		t.Fatalf("init: %v: %s", err, text)
	}
	d.id, _, _ = strings.Cut(string(text), "\n")
	d.process = &process{t: t, name: name, path: program, dir: dir, args: []string{
		"run", "--dir", d.directory, "--set", "timeouts.retry_max=200ms", "--set", "timeouts.poll_max=200ms", "--set", "log.level=warn",
		"--set", "api.tcp=" + d.api,
		"--set", "gate.arrivals_per_second_per_ip=1000", "--set", "gate.handshakes_per_second=1000",
	}}
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.directory, "parley.sock") }

// await waits until the daemon serves its socket, and the API's TCP address.
func (d *daemon) await() {
	d.t.Helper()
	for network, address := range map[string]string{"unix": d.socket(), "tcp": d.api} {
		for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // a poll of a real process
			c, err := net.Dial(network, address)
			if err == nil {
				c.Close()
				break
			}
			if d.finished() || time.Now().After(until) {
				d.t.Fatalf("%s doesn't serve: %v", d.name, err)
			}
		}
	}
}

// list puts a peer on the daemon's allow list.
func (d *daemon) list(id, name, address string) {
	d.t.Helper()
	text, err := exec.Command(d.path, "peers", "add", "--dir", d.directory, id, "--name", name, "--address", address).CombinedOutput()
	if err != nil {
		d.t.Fatalf("peers add: %v: %s", err, text)
	}
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
		ip = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, 100+n/250, 1+n%250)
	}
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shortDir is a directory with a path short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
