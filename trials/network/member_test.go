package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

func init() { parts["member"] = sign }

// watched is a member's handler, of which it is told aloud what an operator would
// be told.
type watched struct{ *parley.Handler }

func (w watched) CheckReceive() (parley.Event, bool) {
	e, ok := w.Handler.CheckReceive()
	if ok && e.Kind.Priority() {
		fmt.Printf("alarmed %v: %v\n", e.Kind, e.Err)
	}
	return e, ok
}

// sign is the part of a committee's member. It goes on until its input ends, as
// others may still ask when it has all it wants.
func sign(dir string) (err error) {
	var agreed committee.Committee
	var orders nodeOrders
	for name, into := range map[string]any{"committee.json": &agreed, "orders.json": &orders} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	key, err := identity.Load(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	config := orders.config()
	config.ExplicitCommit, config.Dir = false, filepath.Join(dir, "journal")
	if config.AllowList, err = allowlist.Load(filepath.Join(dir, "peers.toml")); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		io.Copy(io.Discard, os.Stdin) // its end, however it comes, is the word
	}()
	handler, err := parley.New(orders.Listen, key, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handler.Close()) }()
	state, err := committee.OpenState(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	member, err := committee.NewMember(agreed, key.PeerID(), watched{handler}, state, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return turn(ctx, member)
}

// turn is the member's loop. It says how far it is when it got on.
func turn(ctx context.Context, member *committee.Member) error {
	var before committee.Progress
	for ctx.Err() == nil {
		worked, err := member.Turn()
		if err != nil {
			return err
		}
		if !worked {
			time.Sleep(time.Millisecond)
			continue
		}
		if now := member.Progress(); now != before {
			fmt.Println("moved", now.Answered)
			if now.Done && !before.Done {
				fmt.Println("signed")
			}
			before = now
		}
	}
	return nil
}
