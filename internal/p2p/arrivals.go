package p2p

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	// arrivalBurst bounds the connections that may come from one place at once,
	// before MaxArrivalsPerSecondPerIP counts. More are refused.
	arrivalBurst = 32
	// familiarArrivals bounds the connections that may come, at once and a second,
	// from a familiar place: so many times as many, as long as they are listed
	// peers': as fast as one can make an exchange after another, each on a connection
	// of its own.
	familiarArrivals = 60
	// failedArrival is how many of these one counts as that brings no listed peer:
	// somebody else may be behind the same address.
	failedArrival = 10
	// maxArrivals bounds the places remembered, twice: those that came lately, and
	// those before them. A place that is forgotten has its burst again; the limits
	// on all places together hold regardless.
	maxArrivals = 4096
)

// arrivals limits how fast connections are taken from each place.
type arrivals struct {
	rate   rate.Limit
	burst  int
	lately map[netip.Prefix]*rate.Limiter // at most maxArrivals
	before map[netip.Prefix]*rate.Limiter // at most maxArrivals
}

func newArrivals(perSecond, burst int) *arrivals {
	return &arrivals{
		rate:   rate.Limit(perSecond),
		burst:  burst,
		lately: make(map[netip.Prefix]*rate.Limiter),
	}
}

// take takes one connection off what a place may make now.
func (a *arrivals) take(place netip.Prefix, now time.Time) bool {
	return a.of(place).AllowN(now, 1)
}

// charge takes more off, which is made up for before any more may come.
func (a *arrivals) charge(place netip.Prefix, connections int, now time.Time) {
	a.of(place).ReserveN(now, connections)
}

func (a *arrivals) of(place netip.Prefix) *rate.Limiter {
	limiter := a.lately[place]
	if limiter == nil {
		if limiter = a.before[place]; limiter == nil {
			limiter = rate.NewLimiter(a.rate, a.burst)
		}
		if len(a.lately) >= maxArrivals {
			a.before, a.lately = a.lately, make(map[netip.Prefix]*rate.Limiter)
		}
		a.lately[place] = limiter
	}
	return limiter
}
