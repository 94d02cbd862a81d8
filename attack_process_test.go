//go:build linux

package parley_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
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
	"unsafe"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

func init() {
	parts["node under attack"] = defend
	parts["hostile peer"] = attackForEver
	parts["honest peer"] = askDefender
}

// process is a part of this program in a process of its own. It says lines, and
// its last one when it is stopped.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stdin   io.Closer
	stdout  *bufio.Scanner
}

// launch starts a part, by way of a command where one is given: it has the part's
// program and arguments behind it.
func launch(t *testing.T, by []string, part, dir string, env ...string) *process {
	t.Helper()
	line := append(slices.Clip(by), os.Args[0])
	p := &process{t: t, command: exec.CommandContext(t.Context(), line[0], line[1:]...)}
	p.command.Env = append(os.Environ(), append(env, child+"="+part, "PARLEY_TEST_DIR="+dir)...)
	p.command.Stderr = t.Output()
	stdin, err := p.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.command.Process.Kill()
		p.command.Wait() // which says that it was killed, or is gone
	})
	p.stdin, p.stdout = stdin, bufio.NewScanner(stdout)
	return p
}

// says is the next line.
func (p *process) says() string {
	p.t.Helper()
	if !p.stdout.Scan() {
		p.t.Fatalf("a process ended without a word: %v", p.stdout.Err())
	}
	return p.stdout.Text()
}

// stop ends the process and is its last word.
func (p *process) stop() string {
	p.t.Helper()
	p.stdin.Close()
	last := p.says()
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("a process ended with %v", err)
	}
	return last
}

// defend serves as the node that is attacked, until its input ends.
func defend() error {
	dir := os.Getenv("PARLEY_TEST_DIR")
	key, err := identity.Load(filepath.Join(dir, "defender.key"))
	if err != nil {
		return err
	}
	list, err := allowlist.Load(filepath.Join(dir, "peers.toml"))
	if err != nil {
		return err
	}
	h, err := parley.New(os.Getenv("PARLEY_TEST_LISTEN"), key, parley.Config{AllowList: list, Dir: filepath.Join(dir, "journal"), Logger: quiet})
	if err != nil {
		return err
	}
	fmt.Println(h.Addresses()[0])
	ctx, cancel := untilInputEnds()
	defer cancel()
	err = h.Serve(ctx, func(_ context.Context, r *parley.Request) ([]byte, error) { return r.Body, nil })
	if err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Printf("%+v\n", h.Stats())
	return h.Close()
}

// underWay is after how many attempts of strangers their attack is under way.
const underWay = 2000

// attackForEver attacks until its input ends.
func attackForEver() error {
	if slices.Contains(os.Environ(), idle) {
		if err := idleAway(); err != nil {
			return err
		}
	}
	key, err := identity.Load(filepath.Join(os.Getenv("PARLEY_TEST_DIR"), "attacker.key"))
	if err != nil {
		return err
	}
	peer, err := identity.ParseID(os.Getenv("PARLEY_TEST_PEER"))
	if err != nil {
		return err
	}
	by := &attack.Attacker{Target: attack.Target{Address: os.Getenv("PARLEY_TEST_ADDRESS"), Peer: peer}, Key: key}
	for _, text := range strings.Fields(os.Getenv("PARLEY_TEST_FROM")) {
		from, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		by.From = append(by.From, from)
	}
	if by.Pause, err = time.ParseDuration(cmp.Or(os.Getenv("PARLEY_TEST_PAUSE"), "0")); err != nil {
		return err
	}
	ctx, cancel := untilInputEnds()
	defer cancel()
	fmt.Println("ready")
	var telling sync.WaitGroup
	telling.Go(func() {
		for by.Report().Attempts < underWay {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
		fmt.Println("under way")
	})
	for _, a := range attack.Attacks {
		if a.Name != os.Getenv("PARLEY_TEST_ATTACK") {
			continue
		}
		if a.Kind == attack.Stranger {
			by.Key = identity.Key{}
		}
		err = a.Run(ctx, by)
	}
	telling.Wait()
	fmt.Println(by.Report())
	return err
}

// askDefender exchanges with the defender so many times, from a node that has never seen
// it, and says how long the first exchange and all of them took.
func askDefender() error {
	key, err := identity.Load(filepath.Join(os.Getenv("PARLEY_TEST_DIR"), "honest.key"))
	if err != nil {
		return err
	}
	peer, err := identity.ParseID(os.Getenv("PARLEY_TEST_PEER"))
	if err != nil {
		return err
	}
	list, err := allowlist.New(allowlist.Member{ID: peer, Addresses: []string{os.Getenv("PARLEY_TEST_ADDRESS")}})
	if err != nil {
		return err
	}
	h, err := parley.New("", key, parley.Config{AllowList: list, Logger: quiet})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	var first time.Duration
	for range honestExchanges {
		if _, err := h.Call(ctx, peer, "", []byte("do you hear me?")); err != nil {
			return err
		}
		first = cmp.Or(first, time.Since(began))
	}
	fmt.Println(first, time.Since(began))
	return h.Close()
}

// honestExchanges is how many exchanges the honest peer makes amid an attack.
const honestExchanges = 100

func untilInputEnds() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		io.Copy(io.Discard, os.Stdin)
	}()
	return ctx, cancel
}

// idle asks an attacker, in his environment, to leave the processors to others.
const idle = "PARLEY_TEST_IDLE=1"

// idleAway has this process run only when nothing else wants to: sched(7),
// SCHED_IDLE. The policy is a thread's and is kept by what the thread becomes,
// so the process begins again.
func idleAway() error {
	const schedIdle = 5
	runtime.LockOSThread()
	var priority int32
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, schedIdle, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		return fmt.Errorf("set SCHED_IDLE: %w", errno)
	}
	return syscall.Exec("/proc/self/exe", []string{strings.TrimSpace(os.Args[0])}, slices.DeleteFunc(os.Environ(), func(v string) bool { return v == idle }))
}
