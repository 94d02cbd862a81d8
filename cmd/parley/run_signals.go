package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signals are what a node that runs is told by them. They are caught from its first
// moment to the end of the process: one that nobody caught would kill it.
type signals struct {
	hangup chan os.Signal // to read the settings again
	stop   chan os.Signal // to stop, and then to do so at once
}

func catch() signals {
	s := signals{make(chan os.Signal, 1), make(chan os.Signal, 2)} // one, and two: more say nothing new
	signal.Notify(s.hangup, syscall.SIGHUP)
	signal.Notify(s.stop, os.Interrupt, syscall.SIGTERM)
	return s
}

// endTimeout is how long a node may take that is to end at once. What hangs then, as a
// disk may, is left as it is: nothing is lost by that.
const endTimeout = 2 * time.Second

// errHurried says that a node has ended at once.
var errHurried = fmt.Errorf("a second signal ended it at once: %w", context.Canceled)

// watch says at the first signal to stop what a second would do; with that the hurry
// begins.
func (s signals) watch(log *slog.Logger) (hurry context.Context) {
	hurry, begin := context.WithCancel(context.Background())
	go func() { // one for each node
		log.Info("the node stops: programs that run may end, for some seconds; a second signal kills them and ends it at once", "signal", <-s.stop)
		log.Warn("the node ends at once", "signal", <-s.stop)
		begin()
		time.Sleep(endTimeout)
		os.Exit(exitCode(errHurried))
	}()
	return hurry
}
