package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

const (
	memberPause  = time.Millisecond      // of a member with nothing to do
	newsInterval = 20 * time.Millisecond // at which a member tells how far it is
	retryMax     = 500 * time.Millisecond
	portPatience = 5 * time.Second // for the port to be free again
)

// impatient is how a member finds out soon that a connection is dead, where many
// are; and it takes little more from a peer than a member of the committee asks.
var impatient = parley.Config{
	KeepAlive: time.Second, AckTimeout: 2 * time.Second, DisconnectionTimeout: 5 * time.Second,
	ExchangesPerSecond: 200,
}

// memberNews is how far a member is, and what its handler did in this run.
type memberNews struct {
	committee.Progress
	Resends uint64 `json:"resends"`
	Redials uint64 `json:"redials"`
	// Since the last news:
	Alerts []alert `json:"alerts,omitempty"`
	Broken int     `json:"broken,omitempty"` // promises of the handler
}

// newDemoMember is the command by which the demonstration starts a member as a
// process. It ends when its input does, so that it never outlives the demonstration.
func newDemoMember() *cobra.Command {
	var harsh bool
	cmd := &cobra.Command{
		Use:    "demo-member DIRECTORY",
		Hidden: true,
		Args:   oneArgument("DIRECTORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := context.WithCancel(cmd.Context())
			go func() {
				io.Copy(io.Discard, cmd.InOrStdin()) // its end, however it comes, is the word
				stop()
			}()
			encoder := json.NewEncoder(cmd.OutOrStdout())
			var config parley.Config
			if harsh {
				config = impatient
			}
			return runMember(ctx, args[0], config, func(news memberNews) error { return encoder.Encode(news) })
		},
	}
	cmd.Flags().BoolVar(&harsh, "impatient", false, "find soon that a connection is dead")
	return cmd
}

// runMember runs the member of a directory until ctx ends.
func runMember(ctx context.Context, directory string, config parley.Config, tell func(memberNews) error) (err error) {
	var agreed committee.Committee
	text, err := os.ReadFile(filepath.Join(directory, "..", "committee.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &agreed); err != nil {
		return fmt.Errorf("committee.json: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(directory, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	config.Logger = slog.New(slog.NewTextHandler(log, nil))

	key, err := identity.Load(filepath.Join(directory, "key"))
	if err != nil {
		return err
	}
	if config.AllowList, err = allowlist.Follow(filepath.Join(directory, "peers.toml")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, config.AllowList.Close()) }()
	handler, err := openHandler(ctx, directory, key, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handler.Close()) }()
	statePath := filepath.Join(directory, "state")
	state, err := committee.OpenState(statePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	records, err := committee.ReadRecords(statePath)
	if err != nil {
		return err
	}
	watched := newWatchful(handler, &agreed, records, config.Logger)
	member, err := committee.NewMember(agreed, key.PeerID(), watched, state, config.Logger)
	if err != nil {
		return err
	}
	return turn(ctx, member, watched, tell)
}

// openHandler opens a member's handler at its address.
func openHandler(ctx context.Context, directory string, key identity.Key, config parley.Config) (*parley.Handler, error) {
	address, err := os.ReadFile(filepath.Join(directory, "address"))
	if err != nil {
		return nil, err
	}
	config.Dir = filepath.Join(directory, "journal")
	config.RetryMax, config.PollMax = retryMax, retryMax // members that were killed are back at once
	patience, stop := context.WithTimeout(ctx, portPatience)
	defer stop()
	for {
		handler, err := parley.New(string(address), key, config)
		if !errors.Is(err, syscall.EADDRINUSE) || patience.Err() != nil {
			return handler, err
		}
		time.Sleep(memberPause)
	}
}

// turn is a member's loop. What it tells is at most an interval old when the
// member falls quiet.
func turn(ctx context.Context, member *committee.Member, handler *watchful, tell func(memberNews) error) error {
	told, untold := time.Time{}, true
	for ctx.Err() == nil {
		worked, err := member.Turn()
		if err != nil {
			return err
		}
		untold = untold || worked
		if untold && time.Since(told) >= newsInterval {
			stats := handler.Stats()
			news := memberNews{Progress: member.Progress(), Resends: stats.Resends, Redials: stats.Redials}
			news.Alerts, news.Broken = handler.tell()
			if err := tell(news); err != nil {
				return err
			}
			told, untold = time.Now(), false
		}
		if !worked {
			time.Sleep(memberPause)
		}
	}
	return nil
}

// runTogether runs all members in this process.
func runTogether(ctx context.Context, g *gathering, tell func(bulletin)) error {
	var members []func(context.Context) error
	for n := range g.Members {
		members = append(members, func(ctx context.Context) error {
			err := runMember(ctx, g.memberDirectory(n), parley.Config{}, func(news memberNews) error {
				tell(bulletin{member: n, news: news})
				return nil
			})
			if err != nil {
				return fmt.Errorf("member %d: %w", n+1, err)
			}
			return nil
		})
	}
	return together(ctx, members...)
}
