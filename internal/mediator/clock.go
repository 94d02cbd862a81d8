package mediator

import "time"

const (
	// clockSlack is by how much the wall clock may differ from the time that has passed
	// since it was looked at last, before it counts as set. What drifts from one look to
	// the next is nothing to any wait, and doesn't add up to a jump.
	clockSlack = time.Second
	// wallLook bounds how late a deadline is noticed when the clock was set forward, or
	// the machine slept, while nothing else happens: timers know nothing of that.
	wallLook = time.Minute
)

// Clock finds out when the wall clock was set, by comparing it with time that passes
// steadily.
type Clock struct {
	began  bool
	wall   time.Time
	steady time.Duration
}

// Set takes what both show, and reports by how much the wall clock was set since the
// last time; 0: it wasn't.
func (c *Clock) Set(wall time.Time, steady time.Duration) time.Duration {
	by := wall.Sub(c.wall) - (steady - c.steady)
	if !c.began || by.Abs() < clockSlack {
		by = 0
	}
	*c = Clock{began: true, wall: wall, steady: steady}
	return by
}

// clocks reads both clocks. The wall's moments are without a steady part, so that
// each is comparable with those that a journal or an application gives. What the machine
// slept is time that has passed.
func clocks(suspended func() time.Duration) func() (wall time.Time, steady time.Duration) {
	start, slept := time.Now(), suspended()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(start) + suspended() - slept
	}
}
