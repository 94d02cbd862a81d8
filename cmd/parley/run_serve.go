package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/internal/control"
	"github.com/parley-p2p/parley/internal/programs"
	"github.com/parley-p2p/parley/internal/settings"
)

// listener is where programs reach the node, and with which tokens.
type listener struct {
	net.Listener
	tokens []control.Token
}

func (n node) listen(s settings.Settings) ([]listener, error) {
	unix, err := control.ListenUnix(n.socket(s))
	if err != nil {
		return nil, err
	}
	all := []listener{{unix, nil}}
	if s.API.TCP == "" {
		return all, nil
	}
	tokens, err := n.tokens()
	if err != nil {
		return nil, errors.Join(err, unix.Close())
	}
	tcp, err := control.ListenLoopback(s.API.TCP)
	if err != nil {
		return nil, errors.Join(err, unix.Close())
	}
	return append(all, listener{tcp, tokens}), nil
}

// serve goes on until the context ends or something fails.
func (n node) serve(ctx context.Context, api *control.Node, runner *programs.Runner, h *parley.Handler, listeners []listener, log *slog.Logger, reload func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	start := func(f func() error) {
		all.Go(func() { // one for each listener, one for the inbox, one for the programs
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	start(func() error { return api.Run(ctx) })
	start(func() error { return runner.Run(ctx, api.Give) })
	for _, l := range listeners {
		start(func() error { return api.Serve(ctx, l, l.tokens, log) })
	}
	tell := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd couldn't be told", "state", state, "error", err)
		}
	}
	attend(ctx, h, log, tell, reload)
	tell(daemon.SdNotifyStopping)
	cancel(nil)
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// attend tells systemd that the node is ready, and then that all is well, as often as
// it wants to hear that and only while it is. It heeds SIGHUP, until the context ends.
func attend(ctx context.Context, h interface{ Healthy() error }, log *slog.Logger, tell func(state string), reload func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tell(daemon.SdNotifyReady)
	var due <-chan time.Time
	if interval, err := daemon.SdWatchdogEnabled(false); err == nil && interval > 0 {
		ticker := time.NewTicker(interval / 2)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-due:
			if err := h.Healthy(); err != nil {
				log.Error("not well: systemd isn't told that all is well", "error", err)
				continue
			}
			tell(daemon.SdNotifyWatchdog)
		case <-hangup:
			tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
			reload()
			tell(daemon.SdNotifyReady)
		case <-ctx.Done():
			return
		}
	}
}
