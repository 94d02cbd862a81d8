// Command parley is Parley on the command line. See parley help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil && !plain(err) {
		fmt.Fprintln(os.Stderr, "parley:", err)
	}
	os.Exit(exitCode(err))
}

// plain is an interrupt that whoever made it knows all about.
func plain(err error) bool {
	var more interrupted
	return errors.Is(err, context.Canceled) && !errors.As(err, &more)
}
