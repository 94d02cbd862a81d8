//go:build linux

package network

import (
	"fmt"
	"testing"
	"time"
)

// Both nodes have a request for the other at the same moment and no connection. On
// the cable both are on their way to the other before either can have noticed. Each
// pair is done when both have dialled at once as often as it should.
func TestBothSidesDialAtOnce(t *testing.T) {
	t.Parallel()
	const pairs = 2
	for n := range pairs {
		t.Run(fmt.Sprint("pair ", n+1), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, uint64(n), nil)
			w.cable.become(line{least: 3 * time.Millisecond})
			for _, node := range w.nodes {
				node.part = "crosser"
			}
			w.start()
			w.until("both are up", func() bool { return w.nodes[0].said["up"] > 0 && w.nodes[1].said["up"] > 0 })
			rounds, crossed := 0, 0
			for ; crossed < (*crossings+pairs-1)/pairs; rounds++ {
				if rounds > 100 && crossed < rounds/10 {
					t.Fatalf("both dialled at once in %d of %d rounds only", crossed, rounds)
				}
				for _, node := range w.nodes {
					fmt.Fprintln(node.stdin, rounds)
				}
				w.until("both are answered, and apart again", func() bool {
					return w.nodes[0].said["apart"] > rounds && w.nodes[1].said["apart"] > rounds
				})
				if this := fmt.Sprint("dialled ", rounds); w.nodes[0].lastOf("dialled") == this && w.nodes[1].lastOf("dialled") == this {
					crossed++
				}
			}
			for _, node := range w.nodes {
				node.stop()
			}
			t.Logf("both dialled at once in %d of %d rounds, %d exchanges, in %.1f s", crossed, rounds, 2*rounds, time.Since(w.began).Seconds())
		})
	}
}
