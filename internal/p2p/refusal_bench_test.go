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
// attempt costs whoever makes it with a stock libp2p: processor time of both, the
// dialer being a process of its own that makes 16 attempts at a time. Nearly all of
// the time here is the kernel's, which makes each connection before it is accepted.
func BenchmarkRefusalByAddress(b *testing.B) {
	n := newNode(b, func(c *Config) { c.ListedAddressesOnly = true })
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkDialerOfRefusals$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), "PARLEY_DIAL="+n.Addresses()[0], "PARLEY_PEER="+n.self.String(), "PARLEY_ATTEMPTS="+strconv.Itoa(b.N))
	before := processorTime(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	here := processorTime(b) - before
	there := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if got := n.Refusals(); len(got) != 1 || got[0].Count != b.N {
		b.Fatalf("refused %+v, want %d", got, b.N)
	}
	b.ReportMetric(float64(here.Nanoseconds())/float64(b.N), "ns-here/op")
	b.ReportMetric(float64(there.Nanoseconds())/float64(b.N), "ns-there/op")
	b.ReportMetric(float64(here)/float64(there), "here/there")
}

// The other side of BenchmarkRefusalByAddress.
func BenchmarkDialerOfRefusals(b *testing.B) {
	address := os.Getenv("PARLEY_DIAL")
	if address == "" {
		b.Skip("it is run by BenchmarkRefusalByAddress")
	}
	attempts, err := strconv.Atoi(os.Getenv("PARLEY_ATTEMPTS"))
	if err != nil {
		b.Fatal(err)
	}
	at, err := ma.NewMultiaddr(address)
	if err != nil {
		b.Fatal(err)
	}
	target, err := peer.Decode(os.Getenv("PARLEY_PEER"))
	if err != nil {
		b.Fatal(err)
	}
	r := newRawPeer(b)
	var dialling sync.WaitGroup
	left := make(chan struct{}, attempts)
	for range attempts {
		left <- struct{}{}
	}
	close(left)
	for range 16 {
		dialling.Go(func() {
			for range left {
				if c, err := r.transport.Dial(context.Background(), at, target); err == nil {
					c.Close()
					b.Error("let in")
				}
			}
		})
	}
	dialling.Wait()
}

func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
