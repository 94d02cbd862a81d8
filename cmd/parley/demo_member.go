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

// memberNews is how far a member is, and what its handler did in this run.
type memberNews struct {
	committee.Progress
	Resends uint64 `json:"resends"`
	Redials uint64 `json:"redials"`
}

// newDemoMember is the command by which the demonstration starts a member as a
// process. It ends when its input does, so that it never outlives the demonstration.
func newDemoMember() *cobra.Command {
	return &cobra.Command{
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
			return runMember(ctx, args[0], func(news memberNews) error { return encoder.Encode(news) })
		},
	}
}

// runMember runs the member of a directory until ctx ends.
func runMember(ctx context.Context, directory string, tell func(memberNews) error) (err error) {
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
	logger := slog.New(slog.NewTextHandler(log, nil))

	key, err := identity.Load(filepath.Join(directory, "key"))
	if err != nil {
		return err
	}
	handler, err := openHandler(ctx, directory, key, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handler.Close()) }()
	state, err := committee.OpenState(filepath.Join(directory, "state"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	member, err := committee.NewMember(agreed, key.PeerID(), handler, state, logger)
	if err != nil {
		return err
	}
	return turn(ctx, member, handler, tell)
}

// openHandler opens a member's handler at the address that the allow list gives it.
func openHandler(ctx context.Context, directory string, key identity.Key, logger *slog.Logger) (*parley.Handler, error) {
	list, err := allowlist.Load(filepath.Join(directory, "..", "peers.toml"))
	if err != nil {
		return nil, err
	}
	self, listed := list.Member(key.PeerID())
	if !listed || len(self.Addresses) == 0 {
		return nil, errors.New("peers.toml doesn't list this member and its address")
	}
	patience, stop := context.WithTimeout(ctx, portPatience)
	defer stop()
	for {
		handler, err := parley.New(self.Addresses[0], key, parley.Config{
			AllowList: list, Dir: filepath.Join(directory, "journal"), Logger: logger,
			RetryMax: retryMax, PollMax: retryMax, // members that were killed are back at once
		})
		if !errors.Is(err, syscall.EADDRINUSE) || patience.Err() != nil {
			return handler, err
		}
		time.Sleep(memberPause)
	}
}

// turn is a member's loop. What it tells is at most an interval old when the
// member falls quiet.
func turn(ctx context.Context, member *committee.Member, handler *parley.Handler, tell func(memberNews) error) error {
	told, untold := time.Time{}, true
	for ctx.Err() == nil {
		worked, err := member.Turn()
		if err != nil {
			return err
		}
		untold = untold || worked
		if untold && time.Since(told) >= newsInterval {
			stats := handler.Stats()
			if err := tell(memberNews{member.Progress(), stats.Resends, stats.Redials}); err != nil {
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
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error)
	for n := range g.Members {
		go func() {
			err := runMember(ctx, g.memberDirectory(n), func(news memberNews) error {
				tell(bulletin{member: n, news: news})
				return nil
			})
			if err != nil {
				err = fmt.Errorf("member %d: %w", n+1, err)
			}
			ends <- err
		}()
	}
	var failed error
	for range g.Members {
		if err := <-ends; err != nil {
			failed = errors.Join(failed, err)
			stop()
		}
	}
	return failed
}
