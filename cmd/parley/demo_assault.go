package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/attack"
)

const (
	strangers     = 8 // places that they come from
	strangerPause = 50 * time.Millisecond
	madPause      = 50 * time.Millisecond
	madName       = "mad"
	bouts         = 32 // drawn against each member; then they begin anew
	boutMin       = 200 * time.Millisecond
	boutMax       = 2 * time.Second
)

// asked are the behaviours of a peer of which something is asked: here nobody asks
// the mad one for anything.
var asked = []string{"ack without reply", "nack for ever", "huge replies", "silent listener", "wrong key"}

// strangersAddress is how the strangers' addresses begin.
var strangersAddress = "/ip4/" + strings.TrimSuffix(place(strangerPlaces, 0).String(), "1")

// assault is what hostile peers do to each member while the committee signs:
// strangers that come again and again, and one peer that is on all lists, has no
// part in the signing, and has gone mad. All of them go to the members' own
// addresses; the links' faults are for the members alone.
type assault struct {
	targets []attack.Target
	begins  int // exchanges begun or answered by all members
	outside []programme
	inside  []programme
	mad     identity.Key
	place   netip.Addr // of the mad peer
	address string     // which the lists give for it, and where nobody listens

	mu          sync.Mutex
	byStrangers onslaught
	byMad       onslaught
}

// onslaught is what attackers did, and what they got.
type onslaught struct {
	connections int // tried
	frames      int // sent
	answers     int // frames that came back
}

func (o *onslaught) add(r attack.Report) {
	o.connections += r.Attempts
	o.frames += r.Sent
	for _, came := range r.Received {
		o.answers += came
	}
}

// programme is what is done to one member, bout after bout.
type programme []bout

type bout struct {
	attack attack.Attack
	lasts  time.Duration
}

func drawProgramme(rng *rand.Rand, among func(attack.Attack) bool) programme {
	var eligible []attack.Attack
	for _, a := range attack.Attacks {
		if among(a) {
			eligible = append(eligible, a)
		}
	}
	p := make(programme, bouts)
	for i := range p {
		p[i] = bout{
			attack: eligible[rng.IntN(len(eligible))],
			lasts:  boutMin + time.Duration(rng.Int64N(int64(boutMax-boutMin))),
		}
	}
	return p
}

func newAssault(g *gathering, rng *rand.Rand) (*assault, error) {
	a := &assault{
		begins: rng.IntN(g.Exchanges() * len(g.Members) / 5),
		place:  place(memberPlaces, len(g.Members)),
	}
	for n, id := range g.Members {
		a.targets = append(a.targets, attack.Target{Address: g.addresses[n], Peer: id})
		a.outside = append(a.outside, drawProgramme(rng, func(a attack.Attack) bool { return a.Kind == attack.Stranger }))
		a.inside = append(a.inside, drawProgramme(rng, func(a attack.Attack) bool { return a.Kind != attack.Stranger && !slices.Contains(asked, a.Name) }))
	}
	var err error
	if a.mad, err = identity.Generate(identity.Ed25519); err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(a.place.String(), 1)
	if err != nil {
		return nil, err
	}
	a.address = addresses[0]
	return a, nil
}

// member is the mad peer as the allow lists have it.
func (a *assault) member() allowlist.Member {
	return allowlist.Member{ID: a.mad.PeerID(), Name: madName, Addresses: []string{a.address}}
}

// parts are the attackers, each against one member.
func (a *assault) parts(reach func(context.Context, int) bool) (parts []func(context.Context) error) {
	var from []netip.Addr
	for n := range strangers {
		from = append(from, place(strangerPlaces, n))
	}
	for n, target := range a.targets {
		stranger := attack.Attacker{Target: target, From: from, Pause: strangerPause}
		mad := attack.Attacker{Target: target, Key: a.mad, From: []netip.Addr{a.place}, Pause: madPause}
		for _, side := range []struct {
			attacker  *attack.Attacker
			programme programme
			sum       *onslaught
		}{{&stranger, a.outside[n], &a.byStrangers}, {&mad, a.inside[n], &a.byMad}} {
			parts = append(parts, func(ctx context.Context) error {
				if !reach(ctx, a.begins) {
					return nil
				}
				return side.programme.run(ctx, side.attacker, func(r attack.Report) {
					a.mu.Lock()
					defer a.mu.Unlock()
					side.sum.add(r)
				})
			})
		}
	}
	return parts
}

// run goes through the bouts until ctx ends, each as another attacker of the same
// kind, and tells what came of each.
func (p programme) run(ctx context.Context, as *attack.Attacker, tell func(attack.Report)) error {
	for n := 0; ctx.Err() == nil; n++ {
		bout := p[n%len(p)]
		during, stop := context.WithTimeout(ctx, bout.lasts)
		attacker := attack.Attacker{Target: as.Target, Key: as.Key, From: as.From, Pause: as.Pause}
		err := bout.attack.Run(during, &attacker)
		<-during.Done() // what has done what it does rests for the remainder
		stop()
		tell(attacker.Report())
		if err != nil {
			return fmt.Errorf("%s: %w", bout.attack.Name, err)
		}
	}
	return nil
}
