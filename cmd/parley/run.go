package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/control"
	"github.com/parley-p2p/parley/internal/durable"
	"github.com/parley-p2p/parley/internal/programs"
	"github.com/parley-p2p/parley/internal/settings"
)

func newRun() *cobra.Command {
	var execute string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the node, in the foreground",
		Long: `Run the node until it is told to stop, by an interrupt or SIGTERM. What is open then
goes on at the next start. SIGHUP has it read the allow list at once, and say which
settings have changed; those need another start.

With --exec, or with tables [[program]] in parley.toml, requests are answered by
running a program. The request is its standard input, what it prints is the reply,
and what it writes to standard error goes to the log. PARLEY_EXCHANGE, PARLEY_PEER,
PARLEY_NAME, PARLEY_LANE, PARLEY_DEADLINE and PARLEY_REDELIVERED (1, where it may
have been given before, else empty) tell it the rest. It exits with 0 when it has
answered, and with 100 to reject the request, with what it printed as the reason.
Whatever else happens is a failure: it runs again, later and later, and after the last
attempt the request is a dead letter: see parley deadletters.`,
		Example: "  parley run --dir alice\n  parley run --exec ./handler\n  parley run --set limits.open=1000 --set log.level=debug",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			s, _, err := n.settings(cmd)
			if err != nil {
				return err
			}
			if execute != "" {
				path, err := filepath.Abs(execute)
				if err != nil {
					return err
				}
				s.Programs = append(s.Programs, settings.Program{Command: path})
			}
			return n.run(cmd.Context(), s, cmd)
		},
	}
	cmd.Flags().StringVar(&execute, "exec", "", "a program that answers the requests that no [[program]] of the settings is for")
	cmd.Flags().StringArray("set", nil, "a setting, as NAME=VALUE; before the environment and the file")
	return cmd
}

// run is the node's whole life.
func (n node) run(ctx context.Context, s settings.Settings, cmd *cobra.Command) (err error) {
	log, err := newLogger(s.Log, cmd)
	if err != nil {
		return err
	}
	all, err := runnable(s)
	if err == nil {
		err = programs.Check(all, n.dir)
	}
	if err != nil {
		return err
	}
	key, err := n.key()
	if err != nil {
		return err
	}
	list, err := allowlist.Follow(n.path(settings.AllowList))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	config := s.Config()
	config.Dir, config.AllowList, config.Logger = n.path(settings.Journal), list, log
	h, err := parley.New(s.Listen, key, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	run, err := n.nextRun()
	if err != nil {
		return err
	}
	runner, err := programs.New(h, programs.Options{Programs: all, Directory: n.dir, Name: nameIn(list), MaxReply: s.Limits.MessageSize, Logger: log})
	if err != nil {
		return err
	}
	api := control.New(h, control.Options{
		AllowList: list, AllowListFile: n.path(settings.AllowList), Directory: n.dir, Version: version(), Run: run, MaxMessageSize: s.Limits.MessageSize,
		Programs: runner,
	})
	listeners, err := n.listen(s, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s listens on %s\n", h.PeerID(), strings.Join(h.Addresses(), ", "))
	return n.serve(ctx, api, runner, h, listeners, log)
}

// listener is where programs reach the node, and with which tokens.
type listener struct {
	net.Listener
	tokens []control.Token
}

func (n node) listen(s settings.Settings, _ *slog.Logger) ([]listener, error) {
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
func (n node) serve(ctx context.Context, api *control.Node, runner *programs.Runner, h *parley.Handler, listeners []listener, log *slog.Logger) error {
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
	notify(log, daemon.SdNotifyReady)
	n.watch(ctx, h, log)
	notify(log, daemon.SdNotifyStopping)
	cancel(nil)
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// watch tells systemd that all is well, as often as it wants to hear that, and heeds
// SIGHUP, until the context ends.
func (n node) watch(ctx context.Context, h *parley.Handler, log *slog.Logger) {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
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
			notify(log, daemon.SdNotifyWatchdog)
		case <-reload:
			log.Info("SIGHUP: the allow list is followed at all times; settings need another start")
		case <-ctx.Done():
			return
		}
	}
}

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd couldn't be told", "state", state, "error", err)
	}
}

// nextRun counts the node's starts, durably.
func (n node) nextRun() (uint64, error) {
	path := n.path("runs")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	run := uint64(0)
	if len(text) > 0 {
		if run, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 31); err != nil {
			return 0, fmt.Errorf("%s: %w: it counts this node's starts; write a number into it that is greater than their count", path, err)
		}
	}
	return run + 1, durable.Replace(path, fmt.Appendln(nil, run+1), 0o600)
}

func newLogger(s settings.Log, cmd *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %q, want debug, info, warn or error", s.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.Format {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	default:
		return nil, fmt.Errorf("log.format: %q, want text or json", s.Format)
	}
}
