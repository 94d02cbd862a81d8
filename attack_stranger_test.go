package parley_test

import (
	"cmp"
	"flag"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

// unlisted is how often strangers knock. A million takes minutes:
// go test -run UnlistedFlood -unlisted 1000000 -timeout 1h
var unlisted = flag.Int("unlisted", 0, "attempts of strangers to connect, in the test of their flood (default 100000, with -short 5000)")

var usualUnlisted = 100_000

func TestUnlistedFloodReachesNothing(t *testing.T) {
	times := cmp.Or(*unlisted, usualUnlisted)
	if testing.Short() && *unlisted == 0 {
		times = 5_000
	}
	a := newArena(t, nil)
	by := a.against()
	by.Key, by.From, by.Times = identity.Key{}, sources(t, 64), times
	report := a.amid(attack.UnlistedFlood, by, 100)

	if report.Attempts != times || report.Secured > report.Lost {
		t.Errorf("of %d attempts some went on: %v", times, report)
	}
	for kind, n := range report.Received {
		if n != 0 {
			t.Errorf("strangers were sent %d frames of kind %d", n, kind)
		}
	}
	if report.Secured == 0 {
		t.Error("none got as far as the allow list: it wasn't tried")
	}
	a.wantNothingOf("strangers")
	a.untilStrangersNamed()
	a.wantPeace()
}

// untilStrangersNamed waits until the operator has heard of strangers.
func (a *arena) untilStrangersNamed() {
	a.t.Helper()
	a.node.until("strangers are told of", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, e := range a.alerts {
			if e.Kind == parley.StrangerRefused && e.Err != nil && e.Peer != a.honest.PeerID() {
				return true
			}
		}
		return false
	})
}

func TestStrangersWithoutAHandshakeReachNothing(t *testing.T) {
	for _, test := range attack.Attacks {
		if test.Kind != attack.Stranger {
			continue
		}
		t.Run(test.Name, func(t *testing.T) {
			a := newArena(t, nil)
			by := a.against()
			by.Key, by.From = identity.Key{}, sources(t, 16)
			report := a.amid(test.Run, by, 200)
			if report.Attempts == 0 {
				t.Errorf("nothing was tried: %v", report)
			}
			a.wantNothingOf("strangers")
			a.wantPeace()
		})
	}
}
