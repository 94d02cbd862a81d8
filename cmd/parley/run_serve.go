package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
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

// serve goes on until the context ends or something fails. Then the programs end
// first, since they may call the API, unless there is a hurry.
func (n node) serve(ctx context.Context, told signals, hurry context.Context, api *control.Node, runner *programs.Runner, h *parley.Handler, listeners []listener, log *slog.Logger, reload func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	serving, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	var programs, all sync.WaitGroup
	start := func(group *sync.WaitGroup, f func() error) {
		group.Go(func() { // one for each listener, one for the inbox, one for the programs
			if err := f(); err != nil {
				stop(err)
			}
		})
	}
	start(&all, func() error { return api.Run(serving) })
	start(&programs, func() error { return runner.Run(ctx, api.Give) })
	for _, l := range listeners {
		start(&all, func() error { return api.Serve(serving, l, l.tokens, log) })
	}
	tell := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd couldn't be told", "state", state, "error", err)
		}
	}
	stop(attend(ctx, h, told.hangup, log, tell, reload))
	tell(daemon.SdNotifyStopping)
	programs.Wait()
	hangUp()
	if hastily(hurry, all.Wait) {
		return errHurried
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// hastily waits for something, and reports whether there was a hurry, in which it is
// left undone.
func hastily(hurry context.Context, wait func()) bool {
	done := make(chan struct{})
	go func() { // one for each node; ends with it
		wait()
		close(done)
	}()
	select {
	case <-done:
	case <-hurry.Done():
	}
	return hurry.Err() != nil
}

// lookEvery is how often it is looked whether the journal has failed.
const lookEvery = time.Second

// attend tells systemd that the node is ready, and then that all is well, as often as
// it wants to hear that and only while it is. It heeds SIGHUP, until the context ends.
// Error: ErrJournal, when nothing can be stored before another start.
func attend(ctx context.Context, h interface{ Healthy() error }, hangup <-chan os.Signal, log *slog.Logger, tell func(state string), reload func()) error {
	tell(daemon.SdNotifyReady)
	var due <-chan time.Time
	if interval, err := daemon.SdWatchdogEnabled(false); err == nil && interval > 0 {
		ticker := time.NewTicker(interval / 2)
		defer ticker.Stop()
		due = ticker.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := h.Healthy(); errors.Is(err, parley.ErrJournal) {
				return err
			}
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
			return nil
		}
	}
}
