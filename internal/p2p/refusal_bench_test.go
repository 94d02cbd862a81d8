package p2p

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// What it costs this node to refuse a connection by its address, against what an
// attempt costs whoever makes it with go-libp2p. Nearly all of the time here is the
// kernel's, which makes each connection before it is accepted.
func BenchmarkRefusalByAddress(b *testing.B) {
	measureRefusals(b, newNode(b, func(c *Config) { c.ListedAddressesOnly = true }), LayerAddress, 16)
}

// What it costs this node to refuse a stranger who has proved a key, against what
// the attempt costs a stranger with go-libp2p. With our Noise the node pays 0.6 of
// what the stranger pays, with go-libp2p's as much as he.
func BenchmarkRefusalByKey(b *testing.B) {
	for _, stock := range []bool{false, true} {
		b.Run("stock="+strconv.FormatBool(stock), func(b *testing.B) {
			measureRefusals(b, newNode(b, func(c *Config) {
				c.StockNoise = stock
				c.MaxHandshakesPerSecond, c.MaxArrivalsPerSecondPerIP = 1<<20, 1<<20
			}), LayerList, 1)
		})
	}
}

// measureRefusals reports the processor time of both sides, of which the dialer is
// a process of its own that makes so many attempts at once.
func measureRefusals(b *testing.B, n *node, layer string, atOnce int) {
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkRefusedDialer$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), "PARLEY_DIAL="+n.Addresses()[0], "PARLEY_PEER="+n.self.String(),
		"PARLEY_ATTEMPTS="+strconv.Itoa(b.N), "PARLEY_AT_ONCE="+strconv.Itoa(atOnce))
	before := processorTime(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	here := processorTime(b) - before
	there := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if got := n.Refusals(); len(got) != 1 || got[0].Count != b.N || got[0].Layer != layer {
		b.Fatalf("refused %+v, want %d by %s", got, b.N, layer)
	}
	b.ReportMetric(float64(here.Nanoseconds())/float64(b.N), "ns-here/op")
	b.ReportMetric(float64(there.Nanoseconds())/float64(b.N), "ns-there/op")
	b.ReportMetric(float64(here)/float64(there), "here/there")
}

// The other side of measureRefusals.
func BenchmarkRefusedDialer(b *testing.B) {
	address := os.Getenv("PARLEY_DIAL")
	if address == "" {
		b.Skip("the benchmarks of refusals run it")
	}
	at, err := ma.NewMultiaddr(address)
	if err != nil {
		b.Fatal(err)
	}
	target, err := peer.Decode(os.Getenv("PARLEY_PEER"))
	if err != nil {
		b.Fatal(err)
	}
	attempts, atOnce := number(b, "PARLEY_ATTEMPTS"), number(b, "PARLEY_AT_ONCE")
	r := newRawPeer(b)
	left := make(chan struct{}, attempts)
	for range attempts {
		left <- struct{}{}
	}
	close(left)
	var dialling sync.WaitGroup
	for range atOnce {
		dialling.Go(func() {
			for range left {
				// The dialer's side of the handshake succeeds before it is refused by its key.
				c, err := r.transport.Dial(context.Background(), at, target)
				if err != nil {
					continue
				}
				if _, err := c.AcceptStream(); err == nil {
					b.Error("let in")
				}
				c.Close()
			}
		})
	}
	dialling.Wait()
}

func number(b *testing.B, name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
