package parley_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
)

// BenchmarkExchange makes exchanges between two nodes of this process, over the
// loopback: one operation is a Call, from the request to the reply, of a message
// of this size that is sent back. Both journals, allocations and syncs are
// counted. docs/performance.md says what came out.
//
//	warm, cold     the connection stays, or is closed when no exchange is open
//	1lane, 64lanes callers at once, each in a lane of its own
//	disk, memory   where the journals are
func BenchmarkExchange(b *testing.B) {
	for _, warm := range []bool{true, false} {
		for _, lanes := range []int{1, 64} {
			for _, size := range []int{256, 64 << 10} {
				for _, disk := range []bool{true, false} {
					connection, callers, bytes, journal := "cold", "64lanes", fmt.Sprintf("%dB", size), "memory"
					if warm {
						connection = "warm"
					}
					if lanes == 1 {
						callers = "1lane"
					}
					if disk {
						journal = "disk"
					}
					if size >= 1<<10 {
						bytes = fmt.Sprintf("%dKiB", size>>10)
					}
					b.Run(fmt.Sprintf("%s/%s/%s/%s", connection, callers, bytes, journal), func(b *testing.B) {
						benchmarkExchange(b, warm, lanes, size, disk)
					})
				}
			}
		}
	}
}

// unpaced lets peers go as fast as they can: what is measured is the cost of an
// exchange, not a rate.
func unpaced(c *parley.Config) {
	c.ExchangesPerSecond, c.BytesPerSecond, c.FramesPerSecond = 1_000_000, 1<<40, 10_000_000
	c.MaxArrivalsPerSecondPerIP, c.MaxHandshakesPerSecond = 1_000_000, 1_000_000
}

func benchmarkExchange(b *testing.B, warm bool, lanes, size int, disk bool) {
	alice, bob := pair(b, func(c *parley.Config) {
		c.Logger = slog.New(slog.DiscardHandler)
		unpaced(c)
		if warm {
			c.IdleTimeout = time.Minute
		}
		if disk {
			c.Dir = b.TempDir()
		}
	})
	serve(b, bob, func(_ context.Context, r *parley.Request) ([]byte, error) { return r.Body, nil })
	call := func(lane string, body []byte) {
		reply, err := alice.CallMessage(b.Context(), parley.Message{Peer: bob.PeerID(), Address: bob.address, Lane: lane, Body: body})
		if err != nil || len(reply) != size {
			b.Errorf("%d bytes came: %v", len(reply), err)
		}
	}
	call("", make([]byte, size)) // connects, and begins the journals
	syncs := alice.Stats().Syncs + bob.Stats().Syncs

	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, lanes)
	b.ReportAllocs()
	b.SetBytes(2 * int64(size))
	b.ResetTimer()
	var callers sync.WaitGroup
	for lane := range took {
		callers.Go(func() {
			name, body := fmt.Sprint(lane), make([]byte, size)
			for left.Add(-1) >= 0 && !b.Failed() {
				begun := time.Now()
				call(name, body)
				took[lane] = append(took[lane], time.Since(begun))
			}
		})
	}
	callers.Wait()
	b.StopTimer()

	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "exchanges/s")
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		b.ReportMetric(float64(alice.Stats().Syncs+bob.Stats().Syncs-syncs)/float64(len(all)), "syncs/exchange")
	}
}
