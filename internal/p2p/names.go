package p2p

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxNames bounds the host names of the allow list that are looked up for the
	// gate. The places behind further ones become familiar with the first visit, and
	// with ListedAddressesOnly are refused; the log says so.
	maxNames = 1024
	// maxLookups bounds the host names that are looked up at once; the others wait.
	maxLookups = 8
	// maxResolved bounds the addresses taken of one host name; more are passed over.
	maxResolved = 8
	// lookupTimeout bounds one look-up, which then counts as failed.
	lookupTimeout = 10 * time.Second
	// nameRefresh is how long a host name is taken to stand for the same addresses,
	// and nameRetry when it is looked up again after that failed.
	nameRefresh = 3 * time.Minute
	nameRetry   = 15 * time.Second
)

// Resolver looks up host names as [net.Resolver] does; network is "ip", "ip4" or
// "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// hostName is a host name and which of its addresses count.
type hostName struct{ network, host string }

// names knows which addresses the host names on the allow list stand for, so that
// the gate can tell where a listed peer may come from before it proves its key. It
// looks them up when they are new and again every few minutes. One that can't be
// looked up keeps the addresses that it had.
type names struct {
	resolver Resolver
	log      *slog.Logger
	learned  func() // called when the addresses of some names have changed
	changed  chan struct{}

	mu    sync.Mutex
	known map[hostName]*nameEntry // at most maxNames
}

type nameEntry struct {
	addresses []netip.Addr
	due       time.Time // when it is looked up next
}

func newNames(resolver Resolver, log *slog.Logger, learned func()) *names {
	return &names{
		resolver: resolver,
		log:      log,
		learned:  learned,
		changed:  make(chan struct{}, 1),
		known:    make(map[hostName]*nameEntry),
	}
}

// follow makes these the names to be known. New ones are looked up soon.
func (n *names) follow(listed []hostName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[hostName]*nameEntry, len(listed))
	passed := 0
	for _, name := range listed {
		switch entry := n.known[name]; {
		case known[name] != nil:
		case len(known) == maxNames:
			passed++
		case entry != nil:
			known[name] = entry
		default:
			known[name] = new(nameEntry)
		}
	}
	n.known = known
	if passed > 0 {
		n.log.Warn("too many host names on the allow list to know where its peers come from", "looked up", maxNames, "not looked up", passed)
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// addresses is what a name stood for when it was last looked up.
func (n *names) addresses(name hostName) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if entry := n.known[name]; entry != nil {
		return entry.addresses
	}
	return nil
}

// keep looks names up whenever they are due, until ctx ends.
func (n *names) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-n.changed:
		case <-ctx.Done():
			return
		}
		due, next := n.due(time.Now())
		if len(due) == 0 {
			timer.Reset(next)
			continue
		}
		n.lookUp(ctx, due)
		timer.Reset(0) // some may have come due meanwhile
	}
}

// due are the names to be looked up now, and otherwise how long nothing is.
func (n *names) due(now time.Time) (due []hostName, next time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next = nameRefresh
	for name, entry := range n.known {
		if left := entry.due.Sub(now); left > 0 {
			next = min(next, left)
		} else {
			due = append(due, name)
		}
	}
	return due, next
}

// lookUp looks names up, so many at once, and says so when any of them has changed.
func (n *names) lookUp(ctx context.Context, due []hostName) {
	for some := range slices.Chunk(due, maxLookups) {
		var looking sync.WaitGroup
		var changed atomic.Bool
		for _, name := range some {
			looking.Go(func() { // at most maxLookups
				if n.lookUpOne(ctx, name) {
					changed.Store(true)
				}
			})
		}
		looking.Wait()
		if changed.Load() {
			n.learned()
		}
	}
}

// lookUpOne reports whether a name stands for something else now.
func (n *names) lookUpOne(ctx context.Context, name hostName) (changed bool) {
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := lookUp(limited, n.resolver, name)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("a host name on the allow list cannot be looked up: what it stood for before counts", "name", name.host, "error", err)
	}
	return n.note(name, found, err)
}

// note keeps what came of a look-up and reports whether a name has changed.
func (n *names) note(name hostName, found []netip.Addr, err error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	entry := n.known[name]
	if entry == nil {
		return false // it was taken off the list
	}
	if err != nil {
		entry.due = time.Now().Add(nameRetry)
		return false
	}
	entry.due = time.Now().Add(nameRefresh)
	if slices.Equal(entry.addresses, found) {
		return false
	}
	entry.addresses = found
	return true
}

// lookUp looks a host name up: at most maxResolved addresses, in their order.
func lookUp(ctx context.Context, resolver Resolver, name hostName) ([]netip.Addr, error) {
	found, err := resolver.LookupNetIP(ctx, name.network, name.host)
	if err != nil {
		return nil, err
	}
	found = slices.Clone(found[:min(len(found), maxResolved)])
	for i := range found {
		found[i] = found[i].Unmap().WithZone("")
	}
	return found, nil
}
