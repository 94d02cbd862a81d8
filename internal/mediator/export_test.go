package mediator

import (
	"sync/atomic"
	"time"
)

// SetClock has the loop's wall clock differ by so much from time that passes steadily.
func (l *Loop) SetClock() *atomic.Int64 {
	by, read := new(atomic.Int64), l.read
	l.read = func() (time.Time, time.Duration) {
		wall, steady := read()
		return wall.Add(time.Duration(by.Load())), steady
	}
	return by
}

// Clocks is how a loop reads the time.
var Clocks = clocks
