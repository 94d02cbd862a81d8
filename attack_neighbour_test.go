//go:build linux && !race

package parley_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// The promise is 1.1. It is measured in processes that share two processors with
// whatever else runs on the machine, so that the test, unlike who reads what it
// prints, allows for more.
var slower = flag.Float64("slower", 1.5, "by what factor a listed peer gone mad may slow another, in the test of it")

// ownLimits are the attacker's on the allow list. What is measured is what lies
// beyond them: within the default ones a peer may well keep two processors busy.
var ownLimits = flag.String("mad-limits", "[peer.limits]\nexchanges_per_second = 50\nframes_per_second = 500\n",
	"limits of the mad peer on the allow list, in TOML, in the test of it")

const (
	phase  = 300 * time.Millisecond // of peace, and as much of attack
	phases = 16                     // pairs of them
	settle = 50 * time.Millisecond  // between two
)

// A listed peer goes mad. The attacker has a process of its own, of the lowest
// priority: what is measured is what the defender spends on it, in quiet and
// attacked phases that alternate.
func TestMadPeerSlowsAnotherLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute")
	}
	from := sources(t, 1)[0]
	for _, name := range []string{"frame flood", "request flood", "resume flood", "hello flood"} {
		t.Run(name, func(t *testing.T) {
			ratio := newBout(t, name, from).measure(name)
			for range 2 { // something else may have been busy
				if ratio > *slower {
					ratio = newBout(t, name, from).measure(name)
				}
			}
			if ratio > *slower {
				t.Errorf("an exchange takes %.2f times as long, more than %.2f", ratio, *slower)
			}
		})
	}
}

// measure is how many times as long an exchange takes amid the attack.
func (b *bout) measure(name string) float64 {
	b.t.Helper()
	b.asks(2 * phase) // what is made once, is made
	b.attack(true)
	time.Sleep(5 * phase) // bursts are used up
	var quiet, attacked []time.Duration
	for range phases {
		b.attack(false)
		quiet = append(quiet, b.asks(phase))
		b.attack(true)
		attacked = append(attacked, b.asks(phase))
	}
	b.attack(true)
	before, after := median(quiet), median(attacked)
	ratio := float64(after) / float64(before)
	b.t.Logf("an exchange takes %v in peace and %v under a %s: %.3f times as long", before, after, name, ratio)
	b.t.Logf("quiet %v, attacked %v", quiet, attacked)
	b.t.Logf("the attacker says %s, the defender %s", b.attacker.stop(), b.defender.stop())
	return ratio
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// bout is a defender and an attacker, in processes of their own, and an honest
// peer in this one.
type bout struct {
	t                  *testing.T
	defender, attacker *process
	honest             *node
	id                 identity.ID // the defender's
}

func newBout(t *testing.T, name string, from netip.Addr) *bout {
	t.Helper()
	b := &bout{t: t}
	dir, honest := t.TempDir(), newKey(t)
	var keys [2]identity.Key
	for i, file := range []string{"defender.key", "attacker.key"} {
		var err error
		if keys[i], err = identity.LoadOrGenerate(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	b.id = keys[0].PeerID()
	list := fmt.Sprintf("[[peer]]\nid = %q\n[[peer]]\nid = %q\n%s", honest.PeerID(), keys[1].PeerID(), *ownLimits)
	if err := os.WriteFile(filepath.Join(dir, "peers.toml"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	b.defender = launch(t, nil, "node under attack", dir, "PARLEY_TEST_LISTEN=127.0.0.1:0")
	address := b.defender.says()
	b.attacker = launch(t, nil, "hostile peer", dir, "PARLEY_TEST_ATTACK="+name, "PARLEY_TEST_FROM="+from.String(),
		"PARLEY_TEST_ADDRESS="+address, "PARLEY_TEST_PEER="+b.id.String(), idle)
	if said := b.attacker.says(); said != "ready" {
		t.Fatalf("the attacker says %q", said)
	}
	b.attack(false)
	config := parley.Config{AllowList: listing(t, keys[0]), IdleTimeout: time.Hour, Logger: quiet}
	onDisk(t)(&config)
	b.honest = start(t, honest, "", config)
	b.honest.address = address
	return b
}

// attack lets the attacker go, or halts him where he stands.
func (b *bout) attack(on bool) {
	b.t.Helper()
	signal := syscall.SIGSTOP
	if on {
		signal = syscall.SIGCONT
	}
	if err := b.attacker.command.Process.Signal(signal); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(settle)
}

// asks exchanges for a time, one after the other, and returns the median time
// that one took.
func (b *bout) asks(during time.Duration) time.Duration {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	var all []time.Duration
	for end := time.Now().Add(during); time.Now().Before(end); {
		began := time.Now()
		if _, err := b.honest.Call(ctx, b.id, b.honest.address, []byte("how long does it take?")); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, time.Since(began))
	}
	return median(all)
}
