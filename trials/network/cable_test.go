//go:build linux

package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// line is what becomes of a frame.
type line struct {
	loss, doubling float64       // the chance of each
	least, delay   time.Duration // every frame takes the one, and at most the other more: half of them less than a sixteenth of it
}

// good is a line on which nothing happens but that it has a length.
var good = line{least: 10 * time.Millisecond}

// bad is a line at its worst: a fifth is lost, a fifth comes twice, and what comes
// is up to a second late and out of order.
var bad = line{loss: 0.2, doubling: 0.2, delay: time.Second}

// cable is what lies between hosts: a switch that learns where each is.
type cable struct {
	mu     sync.Mutex
	random *rand.Rand
	line   line
	ports  []*port
	homes  map[mac]*port

	*figures
}

// figures are what became of frames; delayed are those by a millisecond or more.
type figures struct{ passed, lost, doubled, delayed atomic.Int64 }

func (f *figures) String() string {
	return fmt.Sprintf("%d frames passed, %d lost, %d doubled, %d delayed", f.passed.Load(), f.lost.Load(), f.doubled.Load(), f.delayed.Load())
}

type mac [6]byte

// port is where a host is plugged in.
type port struct {
	file *os.File
	// mute loses what the host sends, deaf what is sent to it.
	mute, deaf atomic.Bool
}

func newCable(seed uint64) *cable {
	return &cable{random: rand.New(rand.NewPCG(seed, 0)), homes: map[mac]*port{}, figures: &figures{}}
}

// become changes the line for all frames that are sent from now on.
func (c *cable) become(l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = l
}

func (c *cable) plug(file *os.File) *port {
	p := &port{file: file}
	c.mu.Lock()
	c.ports = append(c.ports, p)
	c.mu.Unlock()
	go c.carry(p)
	return p
}

func (c *cable) unplug(p *port) {
	c.mu.Lock()
	c.ports = slices.DeleteFunc(c.ports, func(q *port) bool { return q == p })
	c.mu.Unlock()
	p.file.Close()
}

// carry takes what a host sends to where it belongs, until the host is unplugged.
func (c *cable) carry(from *port) {
	frame := make([]byte, 2048) // more than an MTU of 1,500 and the frame's header
	for {
		n, err := from.file.Read(frame)
		if err != nil {
			return
		}
		if n < 14 || from.mute.Load() {
			c.lost.Add(1)
			continue
		}
		for _, to := range c.route(from, frame[:n]) {
			c.send(to, slices.Clone(frame[:n]))
		}
	}
}

// route learns where the sender is, and finds where the frame goes: to all, where
// that isn't known.
func (c *cable) route(from *port, frame []byte) []*port {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.homes[mac(frame[6:12])] = from
	if to, known := c.homes[mac(frame[:6])]; known && slices.Contains(c.ports, to) {
		return []*port{to}
	}
	return slices.DeleteFunc(slices.Clone(c.ports), func(p *port) bool { return p == from })
}

// send delivers a frame as the line has it: not at all, late, or twice.
func (c *cable) send(to *port, frame []byte) {
	for _, wait := range c.draw() {
		if wait < time.Millisecond {
			c.deliver(to, frame)
			continue
		}
		c.delayed.Add(1)
		time.AfterFunc(wait, func() { c.deliver(to, frame) })
	}
}

// draw draws after which time each copy of a frame arrives.
func (c *cable) draw() (waits []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.random.Float64() < c.line.loss {
		c.lost.Add(1)
		return nil
	}
	copies := 1
	if c.random.Float64() < c.line.doubling {
		c.doubled.Add(1)
		copies = 2
	}
	for range copies {
		waits = append(waits, c.line.least+time.Duration(math.Pow(c.random.Float64(), 4)*float64(c.line.delay)))
	}
	return waits
}

func (c *cable) deliver(to *port, frame []byte) {
	if to.deaf.Load() {
		c.lost.Add(1)
		return
	}
	if _, err := to.file.Write(frame); err != nil { // the interface is down, or gone
		c.lost.Add(1)
		return
	}
	c.passed.Add(1)
}
