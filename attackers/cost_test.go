package attackers

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

var attempts = flag.Int("attempts", 2000, "how often a stranger connects, for each measurement")

// Strangers with stock hosts connect again and again. What it costs a node to
// refuse them is compared with what it costs them, in processor time of two
// processes.
//
// Nobody refuses for less than it costs to accept and reset: by address a node may
// cost a fifth of what it costs the stranger, or twice what such a listener does.
func TestRefusingCostsLessThanBeingRefused(t *testing.T) {
	least := measure(t, "by a bare listener", "accept")
	if ratio := measure(t, "after the handshake", "key"); ratio > 1 {
		t.Errorf("refusing after the handshake costs %.2f of what it costs the stranger, more than 1", ratio)
	}
	if ratio := measure(t, "by address", "address"); ratio > max(0.2, 2*least) {
		t.Errorf("refusing by address costs %.2f of what it costs the stranger, more than 0.2; a bare listener %.2f", ratio, least)
	}
}

// measure returns what the defender spends for one unit of the attacker's.
func measure(t *testing.T, name, refuse string) float64 {
	t.Helper()
	dir := t.TempDir()
	defender := launch(t, "defender", dir, "PARLEY_ATTACKERS_REFUSE="+refuse)
	var node struct{ Address string }
	defender.says(&node)
	attacker := launch(t, "attacker", dir, "PARLEY_ATTACKERS_TARGET="+node.Address, fmt.Sprint("PARLEY_ATTACKERS_ATTEMPTS=", *attempts))
	var theirs, ours cost
	attacker.says(&theirs)
	attacker.stop()
	defender.stdin.Close()
	defender.says(&ours)
	defender.stop()
	if ours.Requests != 0 || ours.Peers != 0 {
		t.Errorf("a stranger reached the machine: %+v", ours)
	}
	if done := theirs.Connected > 0; done != (refuse == "key") {
		t.Errorf("refused %s: of %d attempts %d came through the handshake", name, theirs.Attempts, theirs.Connected)
	}
	ratio := float64(ours.CPU) / float64(theirs.CPU)
	each := time.Duration(theirs.Attempts)
	t.Logf("refused %s, %d times: the defender spends %v each, the attacker %v: %.3f : 1", name, theirs.Attempts, ours.CPU/each, theirs.CPU/each, ratio)
	return ratio
}

// cost is what a process has spent, and what for.
type cost struct {
	CPU                 time.Duration // in user and system mode
	Attempts, Connected int           // of the attacker
	Requests, Peers     uint64        // at the defender, of the attacker
}

// accept is the least that refusing can cost: a listener that resets what it
// accepts, until the input ends.
func accept() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		return err
	}
	before := spent()
	say(struct{ Address string }{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", l.Addr().(*net.TCPAddr).Port, key.PeerID())})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		l.Close()
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	say(cost{CPU: spent() - before})
	return nil
}

// defend is a node that nobody may connect to, until its input ends. It lets as
// many handshakes begin as anybody likes: what is measured is what each costs.
func defend() error {
	if os.Getenv("PARLEY_ATTACKERS_REFUSE") == "accept" {
		return accept()
	}
	key, err := identity.LoadOrGenerate(filepath.Join(os.Getenv("PARLEY_ATTACKERS_DIR"), "key"))
	if err != nil {
		return err
	}
	list, err := allowlist.New()
	if err != nil {
		return err
	}
	const any = math.MaxInt32
	h, err := parley.New("127.0.0.1:0", key, parley.Config{
		AllowList: list, Logger: slog.New(slog.DiscardHandler),
		ListedAddressesOnly:    os.Getenv("PARLEY_ATTACKERS_REFUSE") == "address",
		MaxHandshakesPerSecond: any, MaxArrivalsPerSecondPerIP: any,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for range h.Events(ctx) {
		}
	}()
	before := spent()
	say(struct{ Address string }{h.Addresses()[0] + "/p2p/" + h.PeerID().String()})
	io.Copy(io.Discard, os.Stdin)
	say(cost{CPU: spent() - before, Requests: h.Stats().Requests, Peers: uint64(len(h.Peers()))})
	cancel()
	return h.Close()
}

// hosts is how many stock hosts attack at once.
const hosts = 8

// knock is stock hosts that connect again and again, each time when the last
// connection is over.
func knock() error {
	info, err := peer.AddrInfoFromString(os.Getenv("PARLEY_ATTACKERS_TARGET"))
	if err != nil {
		return err
	}
	var attempts int
	if _, err := fmt.Sscan(os.Getenv("PARLEY_ATTACKERS_ATTEMPTS"), &attempts); err != nil {
		return err
	}
	var strangers []*stranger
	for range hosts {
		s, err := newStranger(*info)
		if err != nil {
			return err
		}
		strangers = append(strangers, s)
	}
	before := spent()
	var connected atomic.Int64
	var running sync.WaitGroup
	for i, s := range strangers {
		running.Go(func() {
			for n := i; n < attempts; n += hosts {
				if s.connect() {
					connected.Add(1)
				}
			}
		})
	}
	running.Wait()
	say(cost{CPU: spent() - before, Attempts: attempts, Connected: int(connected.Load())})
	for _, s := range strangers {
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// stranger is a stock host as it comes.
type stranger struct {
	host.Host
	target peer.AddrInfo
	over   chan struct{} // a connection ended
}

func newStranger(target peer.AddrInfo) (*stranger, error) {
	stock, err := libp2p.New()
	if err != nil {
		return nil, err
	}
	s := &stranger{stock, target, make(chan struct{}, 1)}
	stock.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { s.over <- struct{}{} }})
	return s, nil
}

// connect reports whether the handshake was done, and returns when the node has
// hung up.
func (s *stranger) connect() bool {
	if s.Connect(context.Background(), s.target) != nil {
		s.Network().(*swarm.Swarm).Backoff().Clear(s.target.ID)
		return false
	}
	<-s.over
	return true
}

// spent is the processor time of this process so far.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is such a process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func say(what any) { json.NewEncoder(os.Stdout).Encode(what) }

// process is a part in a process of its own. It says lines of JSON.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stdin   io.Closer
	stdout  *bufio.Scanner
}

func launch(t *testing.T, part, dir string, env ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.CommandContext(t.Context(), os.Args[0])}
	p.command.Env = append(os.Environ(), append(env, child+"="+part, "PARLEY_ATTACKERS_DIR="+dir)...)
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
	p.stdin, p.stdout = stdin, bufio.NewScanner(stdout)
	return p
}

func (p *process) says(what any) {
	p.t.Helper()
	if !p.stdout.Scan() {
		p.t.Fatalf("a process ended without a word: %v", p.stdout.Err())
	}
	if err := json.Unmarshal(p.stdout.Bytes(), what); err != nil {
		p.t.Fatalf("a process said %q: %v", p.stdout.Text(), err)
	}
}

func (p *process) stop() {
	p.t.Helper()
	p.stdin.Close()
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("a process ended with %v", err)
	}
}
