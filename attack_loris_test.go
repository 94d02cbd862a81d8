//go:build unix

package parley_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

// A slow loris: so many source addresses, eight silent sockets from each, opened
// again when they are closed.
const (
	lorisSources = 200
	lorisSockets = 8 * lorisSources
	lorisPause   = 250 * time.Millisecond // before a socket is opened again
	lorisDelay   = 5 * time.Second        // the promise: a listed peer is in by then
)

func TestSlowLorisLocksNoListedPeerOut(t *testing.T) {
	needFiles(t, 2*lorisSockets+1024)
	a := newColdArena(t, nil)
	by := a.against()
	by.Key, by.From, by.Pause = identity.Key{}, sources(t, lorisSources), lorisPause
	a.attacked(attack.SilentSockets, by, func(<-chan struct{}) {
		a.node.until("every socket was opened", func() bool { return by.Report().Attempts >= 2*lorisSockets })
		began := time.Now()
		a.exchange(1) // the honest peer's first: it dials
		if took := time.Since(began); took > lorisDelay {
			t.Errorf("the first exchange of a listed peer with a listed address took %v, more than %v", took, lorisDelay)
		} else {
			t.Logf("the first exchange of a listed peer with a listed address took %v", took)
		}
		a.exchange(30)
	})
	if alerts := a.alerted(parley.ConnectionLimitHit, identity.ID{}); len(alerts) == 0 {
		t.Error("no limit was told: it wasn't reached")
	}
	a.wantNothingOf("silent sockets")
	a.wantPeace()
}

// needFiles skips a test where a process can't have so many files open.
func needFiles(t testing.TB, count uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if uint64(limit.Cur) < count { // Go has raised it to what it may be
		t.Skipf("needs %d open files, the limit is %d: ulimit -Hn", count, limit.Cur)
	}
}
