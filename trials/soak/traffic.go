package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
)

// group is the nodes and what happens to them.
type group struct {
	members []*member
	books   *books
	random  *rand.Rand
	off     []absence // at most one for each pair of members
}

// absence is a member that is off another's list.
type absence struct {
	of, from *member
	until    time.Time
}

func newGroup(o options) (*group, error) {
	g := &group{books: newBooks(), random: rand.New(rand.NewPCG(o.seed, 0))}
	for i := range o.nodes {
		dir := filepath.Join(o.dir, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(err, g.close())
		}
		m, err := newMember(dir, time.Duration(i)*time.Second, g.books) // the first one closes at once
		if err != nil {
			return nil, errors.Join(err, g.close())
		}
		g.members = append(g.members, m)
	}
	for _, m := range g.members {
		for _, other := range g.members {
			if other == m {
				continue
			}
			if err := m.list.Add(other.listed()); err != nil {
				return nil, errors.Join(err, g.close())
			}
		}
	}
	return g, nil
}

func (m *member) listed() allowlist.Member {
	return allowlist.Member{ID: m.key.PeerID(), Addresses: []string{m.address}}
}

func (g *group) close() error {
	var errs []error
	for _, m := range g.members {
		errs = append(errs, m.shut())
	}
	return errors.Join(errs...)
}

// What happens amid the traffic, in requests between one and the next.
const (
	cutEvery    = 50   // connections of a pair
	unlistEvery = 200  // a member is taken off a list
	againEvery  = 1500 // a node is made again
)

// stir makes requests at a steady rate until the context ends, and what goes on
// amid them.
func (g *group) stir(ctx context.Context, rate float64) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for made := 1; ; made++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return g.relist(time.Time{})
		}
		from, to := g.two()
		if err := g.ask(from, to); err != nil {
			return err
		}
		if err := g.relist(time.Now()); err != nil {
			return err
		}
		var err error
		switch {
		case made%againEvery == 0:
			err = from.again()
		case made%unlistEvery == 0:
			g.unlist(from, to)
		case made%cutEvery == 0:
			err = from.use(func(h *parley.Handler) error { return h.Disconnect(to.key.PeerID()) })
		}
		if err != nil {
			return err
		}
	}
}

func (g *group) two() (from, to *member) {
	i := g.random.IntN(len(g.members))
	j := (i + 1 + g.random.IntN(len(g.members)-1)) % len(g.members)
	return g.members[i], g.members[j]
}

// ask makes one request, of any kind.
func (g *group) ask(from, to *member) error {
	m := parley.Message{Peer: to.key.PeerID(), Lane: fmt.Sprint(g.random.IntN(64)), Body: g.body("echo", 100+g.random.IntN(400))}
	cancel := false
	switch kind := g.random.IntN(100); {
	case kind == 0: // in a file of its own
		m.Body = g.body("echo", 2<<20)
	case kind < 5: // beside its record
		m.Body = g.body("echo", 100<<10)
	case kind < 9:
		m.Body = g.body("reject", 200)
	case kind < 12:
		m.Body, m.Deadline = g.body("wait", 200), time.Now().Add(2*time.Second)
	case kind < 16:
		m.Body, cancel = g.body("wait", 200), true
	case kind < 19: // sooner or later than its reply
		cancel = true
	}
	return from.use(func(h *parley.Handler) error {
		ids, err := h.Send(m)
		if errors.Is(err, parley.ErrNotListed) {
			return nil
		}
		if err != nil {
			return err
		}
		g.books.made(ids[0])
		if !cancel {
			return nil
		}
		if err := h.Cancel(ids[0]); err != nil && !errors.Is(err, parley.ErrEnded) && !errors.Is(err, parley.ErrUnknown) {
			return err
		}
		return nil
	})
}

// body is a word that tells the responder what to do, and something behind it.
func (g *group) body(word string, size int) []byte {
	b := append([]byte(word), ' ')
	b = append(b, bytes.Repeat([]byte{byte(g.random.Uint32())}, size)...)
	return b
}

// unlist takes a member off the list of another for a while.
func (g *group) unlist(from, of *member) {
	if from.list.Remove(of.key.PeerID()) {
		g.off = append(g.off, absence{of: of, from: from, until: time.Now().Add(2 * time.Second)})
	}
}

// relist puts back whoever was off until now; all of them when now is zero.
func (g *group) relist(now time.Time) error {
	still := g.off[:0]
	for _, a := range g.off {
		if !now.IsZero() && now.Before(a.until) {
			still = append(still, a)
			continue
		}
		if err := a.from.list.Add(a.of.listed()); err != nil {
			return err
		}
	}
	g.off = still
	return nil
}
