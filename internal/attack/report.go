package attack

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// Report is what an attacker did and what came back.
type Report struct {
	Attempts int // connections tried
	Refused  int // of them, those that ended before the handshake had, as seen from here
	Halves   int // those of which the node has computed half a handshake, to no end
	Secured  int // those whose handshake was done
	Lost     int // of these, those that the other side ended

	Streams int   // opened
	Sent    int   // frames, well-formed or not
	Bytes   int64 // written on streams

	Received   [wire.Cancel + 1]int // frames that came, by their kind
	Resets     int                  // streams that the other side reset
	RetryAfter time.Duration        // the longest that a NACK asked for
}

// String has what isn't zero.
func (r Report) String() string {
	var parts []string
	add := func(name string, n int) {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	add("attempts", r.Attempts)
	add("refused", r.Refused)
	add("half handshakes", r.Halves)
	add("secured", r.Secured)
	add("lost", r.Lost)
	add("streams", r.Streams)
	add("sent", r.Sent)
	add("bytes", int(r.Bytes))
	for kind, n := range r.Received {
		add(wire.Kind(kind).String(), n)
	}
	add("resets", r.Resets)
	if r.RetryAfter != 0 {
		parts = append(parts, "retry after "+r.RetryAfter.String())
	}
	return strings.Join(parts, ", ")
}

// counter is a Report that many goroutines write.
type counter struct {
	mu sync.Mutex
	r  Report
}

func (c *counter) add(f func(*Report)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.r)
}

func (c *counter) received(frame *wire.Frame) {
	c.add(func(r *Report) {
		r.Received[frame.Kind]++
		r.RetryAfter = max(r.RetryAfter, frame.RetryAfter)
	})
}

func (c *counter) report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r
}

// asError is errors.As for an error that may be nil.
func asError[T error](err error, target *T) bool { return err != nil && errors.As(err, target) }
