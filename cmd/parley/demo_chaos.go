package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/parley-p2p/parley/allowlist"
)

const (
	absences   = 2 // times that a member is taken off the lists
	absenceMin = 200 * time.Millisecond
	absenceMax = 1500 * time.Millisecond
)

// chaos is what is done to the session besides killing its members. All of it is
// drawn from the seed before it begins; the moments are of work done, or of bytes
// passed, rather than of time: so that on any machine they come while the
// committee works.
type chaos struct {
	gathering *gathering
	absences  []absence
	faults    map[pair][]fault
	assault   *assault
	tell      func(bulletin)

	mu     sync.Mutex
	work   []int         // exchanges begun or answered by each member
	moved  chan struct{} // closed and made anew when there is more
	absent map[int]bool
	paths  map[pair]string // where the first reaches the second
}

// pair is two members, in the order of who dials whom, or the smaller first.
type pair [2]int

// absence is a member taken off the lists of all others for a while.
type absence struct {
	member int
	after  int // exchanges begun or answered by all members
	lasts  time.Duration
}

func newChaos(g *gathering, seed uint64) (*chaos, error) {
	rng := rand.New(rand.NewPCG(seed, uint64(len(g.Members)))) // the members have the streams below
	c := &chaos{
		gathering: g, faults: map[pair][]fault{},
		work: make([]int, len(g.Members)), moved: make(chan struct{}),
		absent: map[int]bool{}, paths: map[pair]string{},
	}
	all := 2 * len(g.Members) * g.Exchanges()
	for range absences {
		c.absences = append(c.absences, absence{
			member: rng.IntN(len(g.Members)),
			after:  all/20 + rng.IntN(all/2),
			lasts:  absenceMin + time.Duration(rng.Int64N(int64(absenceMax-absenceMin))),
		})
	}
	slices.SortFunc(c.absences, func(a, b absence) int { return a.after - b.after })
	between := int64(2*g.Exchanges()/(len(g.Members)-1)) * int64(exchangeBytes+2*g.MessageSize)
	for first := range g.Members {
		for second := first + 1; second < len(g.Members); second++ {
			c.faults[pair{first, second}] = drawFaults(rng, between)
		}
	}
	var err error
	c.assault, err = newAssault(g, rng)
	return c, err
}

// place is an address of the loopback interface that stands for a machine of its
// own: as peers are limited by their IPs too, none should have that of another.
func place(net, n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, byte(net), byte(n + 1)}) }

const (
	memberPlaces   = 1
	strangerPlaces = 2
)

// run runs the members as processes that are killed, with what else the seed drew.
func (c *chaos) run(ctx context.Context, seed uint64, tell func(bulletin)) error {
	c.tell = func(b bulletin) {
		c.hear(b)
		tell(b)
	}
	paths, err := c.layLinks()
	if err != nil {
		return err
	}
	if err := c.writeLists(); err != nil {
		return errors.Join(err, closeAll(paths))
	}
	parts := append(c.assault.parts(c.reach), c.unlist, func(ctx context.Context) error { return runApart(ctx, c.gathering, seed, c.tell, "--impatient") })
	for _, p := range paths {
		parts = append(parts, p.forward)
	}
	return together(ctx, parts...)
}

// layLinks opens the links' listeners, at the places of those whom they lead to.
func (c *chaos) layLinks() (paths []path, err error) {
	for between, faults := range c.faults {
		l := &link{faults: faults, tell: func(f fault) { c.tell(bulletin{fault: f.kind}) }}
		for _, ends := range []pair{between, {between[1], between[0]}} {
			listener, err := net.Listen("tcp", net.JoinHostPort(place(memberPlaces, ends[1]).String(), "0"))
			if err != nil {
				err = fmt.Errorf("--chaos needs the addresses 127.0.1.1 and on, of which Linux has all: %w", err)
				return nil, errors.Join(err, closeAll(paths))
			}
			paths = append(paths, path{l, listener, place(memberPlaces, ends[0]), c.gathering.addresses[ends[1]]})
			c.paths[ends] = listener.Addr().String()
		}
	}
	return paths, nil
}

func closeAll(paths []path) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, p.listener.Close())
	}
	return errors.Join(errs...)
}

// hear notes how much work is done.
func (c *chaos) hear(b bulletin) {
	if done := b.news.Answered + b.news.Served; done > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.work[b.member] = done
		close(c.moved)
		c.moved = make(chan struct{})
	}
}

// reach waits until the members have done so much, and reports whether they have.
func (c *chaos) reach(ctx context.Context, moment int) bool {
	for {
		c.mu.Lock()
		done, moved := 0, c.moved
		for _, work := range c.work {
			done += work
		}
		c.mu.Unlock()
		if done >= moment {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

// unlist takes members off the lists of the others, and puts them back.
func (c *chaos) unlist(ctx context.Context) error {
	for _, a := range c.absences {
		if !c.reach(ctx, a.after) {
			return nil
		}
		for _, away := range []bool{true, false} {
			c.absent[a.member] = away
			if err := c.writeLists(); err != nil {
				return err
			}
			c.tell(bulletin{member: a.member, listing: &listing{away, a.lasts}})
			if !away {
				break
			}
			select {
			case <-time.After(a.lasts):
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// writeLists writes every member's allow list, which it follows: all others but
// those that are absent, and one that has no part in the signing.
func (c *chaos) writeLists() error {
	for n := range c.gathering.Members {
		listed := []allowlist.Member{c.assault.member()}
		for _, m := range c.gathering.others(n, func(m int) string { return c.paths[pair{n, m}] }) {
			if !c.absent[slices.Index(c.gathering.Members, m.ID)] {
				listed = append(listed, m)
			}
		}
		if err := c.gathering.list(n, listed); err != nil {
			return err
		}
	}
	return nil
}
