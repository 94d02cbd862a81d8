package attack

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	verdict   = 5 * time.Second // how long a stranger waits to be hung up on
	strangers = 16              // at once
)

// UnlistedFlood connects with a new key each time, as fast as it can. It
// doesn't wait to be admitted: a request is on its way behind the handshake.
func UnlistedFlood(ctx context.Context, a *Attacker) error {
	return several(strangers, func() error { return a.connections(ctx, knock) })
}

// knock sends a request and waits to be hung up on.
func knock(ctx context.Context, p *Peer) {
	s, err := p.Open(ctx)
	if err != nil {
		return
	}
	epoch := newEpoch()
	if s.Send(Hello(epoch, 2, 1), Request(epoch, 1, []byte("let me in"))) != nil {
		return
	}
	s.SetDeadline(time.Now().Add(verdict))
	s.Next() // which counts what comes, if anything does
	untilLost(ctx, p)
}

// several runs f so many times at once.
func several(n int, f func() error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f() })
	}
	running.Wait()
	return errors.Join(errs...)
}
