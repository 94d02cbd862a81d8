package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
goes on at the next start. Programs that run may end, for five seconds; a second signal
kills them and ends the node at once. When its journal has failed for good it ends with
exit code 1, so that whoever looks after it starts it anew. The allow list is followed while it is edited. SIGHUP has
the settings read again: log.level holds at once, of the others that have changed the
log says that they need another start.

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
			told := catch()
			read := func() (settings.Settings, error) { return n.toRun(cmd, execute) }
			s, err := read()
			if err != nil {
				return err
			}
			return n.run(cmd.Context(), told, s, read, cmd)
		},
	}
	cmd.Flags().StringVar(&execute, "exec", "", "a program that answers the requests that no [[program]] of the settings is for")
	cmd.Flags().StringArray("set", nil, "a setting, as NAME=VALUE; before the environment and the file")
	return cmd
}

// toRun reads the node's settings, with the program that the command line names.
func (n node) toRun(cmd *cobra.Command, execute string) (settings.Settings, error) {
	s, _, err := n.settings(cmd)
	if err != nil || execute == "" {
		return s, err
	}
	path, err := filepath.Abs(execute)
	s.Programs = append(s.Programs, settings.Program{Command: path})
	return s, err
}

// run is the node's whole life.
func (n node) run(ctx context.Context, told signals, s settings.Settings, read func() (settings.Settings, error), cmd *cobra.Command) (err error) {
	level := new(slog.LevelVar)
	log, err := newLogger(s.Log, level, cmd)
	if err != nil {
		return err
	}
	hurry := told.watch(log)
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
	runner, err := programs.New(h, programs.Options{Programs: all, Directory: n.dir, Name: nameIn(list), MaxReply: s.Limits.MessageSize, Hurry: hurry.Done(), Logger: log})
	if err != nil {
		return err
	}
	api := control.New(h, control.Options{
		AllowList: list, AllowListFile: n.path(settings.AllowList), Directory: n.dir, Version: version(), Run: run, MaxMessageSize: s.Limits.MessageSize,
		Programs: runner, Logger: log,
	})
	listeners, err := n.listen(s)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s listens on %s\n", h.PeerID(), strings.Join(h.Addresses(), ", "))
	return n.serve(ctx, told, hurry, api, runner, h, listeners, log, func() { reload(s, read, level, log) })
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

// reload reads the settings again, and says which of those that run can't be changed.
func reload(running settings.Settings, read func() (settings.Settings, error), level *slog.LevelVar, log *slog.Logger) {
	now, err := read()
	if err == nil {
		err = setLevel(level, now.Log)
	}
	if err != nil {
		log.Error("the settings stay as they were", "error", err)
		return
	}
	running.Log.Level = now.Log.Level
	log.Info("settings were read again", "need another start", settings.Changed(running, now))
}

func newLogger(s settings.Log, level *slog.LevelVar, cmd *cobra.Command) (*slog.Logger, error) {
	if err := setLevel(level, s); err != nil {
		return nil, err
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

func setLevel(level *slog.LevelVar, s settings.Log) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s.Level)); err != nil {
		return fmt.Errorf("log.level: %q, want debug, info, warn or error", s.Level)
	}
	level.Set(l)
	return nil
}
