package mediator

import (
	"time"

	"golang.org/x/sys/unix"
)

// suspended is for how long this machine has slept since it was started: time that
// passed, of which timers know nothing. See clock_gettime(2).
func suspended() time.Duration {
	var passed, awake unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &passed) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &awake) != nil {
		return 0
	}
	return time.Duration(passed.Nano() - awake.Nano())
}
