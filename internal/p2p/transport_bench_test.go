package p2p

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// What it costs this node to refuse a stranger who has proved a key, against what
// the attempt costs a stranger with stock go-libp2p: processor time of both, the
// stranger being a process of its own. With ours the node pays 0.6 of what the
// stranger pays, with go-libp2p's Noise as much as he.
func BenchmarkRefusalByKey(b *testing.B) {
	for _, stock := range []bool{false, true} {
		b.Run("stock="+strconv.FormatBool(stock), func(b *testing.B) {
			n := newNode(b, func(c *Config) {
				c.StockNoise = stock
				c.MaxHandshakesPerSecond, c.MaxArrivalsPerSecondPerIP = 1<<20, 1<<20
			})
			cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkStranger$", "-test.benchtime=1x")
			cmd.Env = append(os.Environ(), "PARLEY_STRANGER_DIALS="+n.Addresses()[0],
				"PARLEY_PEER="+n.self.String(), "PARLEY_ATTEMPTS="+strconv.Itoa(b.N))
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
		})
	}
}

// The other side of BenchmarkRefusalByKey.
func BenchmarkStranger(b *testing.B) {
	address := os.Getenv("PARLEY_STRANGER_DIALS")
	if address == "" {
		b.Skip("it is run by BenchmarkRefusalByKey")
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
	config, err := Config{
		Key: newKey(b, identity.Ed25519), Allow: allowlist.Everyone(), Payloads: newMemory(), StockNoise: true,
	}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	stack, err := newStack(config, newGate(config, "", newNotices()))
	if err != nil {
		b.Fatal(err)
	}
	defer stack.resources.Close()
	for range attempts {
		// The dialer's side of the handshake succeeds before it is refused.
		c, err := stack.transport.Dial(context.Background(), at, target)
		if err != nil {
			continue
		}
		if _, err := c.AcceptStream(); err == nil {
			b.Error("let in")
		}
		c.Close()
	}
}
