package p2p

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxNames bounds the host names of the allow list that are looked up for the
	// gate. The places behind further ones become familiar with the first visit, and
	// with ListedAddressesOnly are refused; the log says so.
	maxNames = 1024
	// maxLookups bounds the host names that are looked up at once; the others wait
	// for their turn, which comes first to those that are new.
	maxLookups = 8
	// maxFailingLookups bounds the host names that are looked up at once after they
	// failed last time; the others wait. So names whose servers are silent leave room.
	maxFailingLookups = maxLookups / 2
	// maxResolved bounds the addresses taken of one host name; more are passed over.
	maxResolved = 8
	// lookupTimeout bounds one look-up, which then counts as failed.
	lookupTimeout = 10 * time.Second
	// nameRefresh is how long a host name is taken to stand for the same addresses,
	// and nameRetry when it is looked up again after that failed: twice as long after
	// each further failure, up to nameRefresh.
	nameRefresh = 3 * time.Minute
	nameRetry   = 15 * time.Second
)

// Resolver looks up host names as [net.Resolver] does; network is "ip", "ip4" or
// "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var errNothingFound = errors.New("the resolver gave neither an address nor an error")

// hostName is a host name and which of its addresses count.
type hostName struct{ network, host string }

// names knows which addresses the host names on the allow list stand for, so that
// the gate can tell where a listed peer may come from before it proves its key. It
// looks them up when they are new and again every few minutes. One that can't be
// looked up keeps the addresses that it had.
type names struct {
	resolver Resolver
	log      *slog.Logger
	learned  func()        // called when the addresses of some names have changed
	changed  chan struct{} // since learned was called last
	wake     chan struct{} // names are new, or a look-up has ended

	mu      sync.Mutex
	known   map[hostName]*nameEntry // at most maxNames
	looking int                     // look-ups under way, at most maxLookups
	failing int                     // those of them that failed last, at most maxFailingLookups
}

type nameEntry struct {
	addresses []netip.Addr  // in ascending order
	due       time.Time     // when it is looked up next; zero: it is new
	retry     time.Duration // how long it waited after it failed; zero: it didn't
	looking   bool          // it is looked up right now
}

func newNames(resolver Resolver, log *slog.Logger, learned func()) *names {
	return &names{
		resolver: resolver,
		log:      log,
		learned:  learned,
		changed:  make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
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
	signal(n.wake)
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
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { n.tell(ctx) }) // one for each handler
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		for {
			name, entry, wait := n.next(time.Now())
			if entry == nil {
				timer.Reset(wait)
				break
			}
			running.Go(func() { n.lookUp(ctx, name, entry) }) // at most maxLookups
		}
	}
}

// tell calls learned when names have changed; once for all that do meanwhile.
func (n *names) tell(ctx context.Context) {
	for {
		select {
		case <-n.changed:
			n.learned()
		case <-ctx.Done():
			return
		}
	}
}

// next takes the name that is due for longest, a new one first. Where none may be
// looked up now, entry is nil, and wait how long none will be due, unless wake says
// so before.
func (n *names) next(now time.Time) (name hostName, entry *nameEntry, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait = nameRefresh
	if n.looking == maxLookups {
		return name, nil, wait
	}
	for other, e := range n.known {
		switch left := e.due.Sub(now); {
		case e.looking:
		case left > 0:
			wait = min(wait, left)
		case e.retry > 0 && n.failing == maxFailingLookups:
		case entry == nil || e.due.Before(entry.due):
			name, entry = other, e
		}
	}
	if entry != nil {
		n.count(entry, 1)
	}
	return name, entry, wait
}

// count counts a look-up that begins, 1, or has ended, -1.
func (n *names) count(entry *nameEntry, by int) {
	entry.looking = by > 0
	n.looking += by
	if entry.retry > 0 {
		n.failing += by
	}
}

// lookUp looks one name up and notes what comes of it.
func (n *names) lookUp(ctx context.Context, name hostName, entry *nameEntry) {
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := lookUp(limited, n.resolver, name)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("a host name on the allow list cannot be looked up: what it stood for before counts", "name", name.host, "error", err)
	}
	if n.note(entry, found, err) {
		signal(n.changed)
	}
	signal(n.wake)
}

// note keeps what came of a look-up and reports whether the name stands for
// something else now.
func (n *names) note(entry *nameEntry, found []netip.Addr, err error) (changed bool) {
	slices.SortFunc(found, netip.Addr.Compare) // servers give them in turn
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count(entry, -1)
	if err != nil {
		entry.retry = min(max(nameRetry, 2*entry.retry), nameRefresh)
		entry.due = time.Now().Add(entry.retry)
		return false
	}
	entry.retry = 0
	entry.due = time.Now().Add(nameRefresh)
	changed = !slices.Equal(entry.addresses, found)
	entry.addresses = found
	return changed
}

// signal makes whoever waits for it look; one that wasn't seen yet is enough.
func signal(waiting chan<- struct{}) {
	select {
	case waiting <- struct{}{}:
	default:
	}
}

// lookUp looks a host name up: at least one address, and at most maxResolved, in
// their order.
func lookUp(ctx context.Context, resolver Resolver, name hostName) ([]netip.Addr, error) {
	found, err := resolver.LookupNetIP(ctx, name.network, name.host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errNothingFound
	}
	found = slices.Clone(found[:min(len(found), maxResolved)])
	for i := range found {
		found[i] = found[i].Unmap().WithZone("")
	}
	return found, nil
}
