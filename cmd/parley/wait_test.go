package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// ending is a node whose one exchange ends so, after some calls that come too early.
type ending struct {
	api
	event     *v1.Event
	early     int
	committed int
}

func (n *ending) Wait(ctx context.Context, _ *v1.WaitRequest) (*v1.Event, error) {
	if n.early--; n.early >= 0 {
		return nil, connect.NewError(connect.CodeDeadlineExceeded, nil)
	}
	return n.event, ctx.Err()
}

func (n *ending) Commit(context.Context, *v1.CommitRequest) (*v1.CommitResponse, error) {
	n.committed++
	return &v1.CommitResponse{}, nil
}

func TestAnOutcomeIsCommittedOnceItIsPrinted(t *testing.T) {
	for name, c := range map[string]struct {
		node      ending
		stopped   bool
		prints    string
		says      string
		committed int
	}{
		"a reply":                {node: ending{event: &v1.Event{Id: "a/1", Outcome: "answered", Body: []byte("yes")}}, prints: "yes", committed: 1},
		"a late reply":           {node: ending{early: 3, event: &v1.Event{Id: "a/1", Outcome: "answered", Body: []byte("yes")}}, prints: "yes", committed: 1},
		"a rejection":            {node: ending{event: &v1.Event{Id: "a/1", Outcome: "rejected", Reason: "no"}}, says: "a/1 was rejected: no", committed: 1},
		"a damaged reply":        {node: ending{event: &v1.Event{Id: "a/1", Outcome: "answered", Damage: "bytes"}}, says: "can't be read, and isn't committed: bytes"},
		"what is not waited for": {node: ending{event: &v1.Event{}}, stopped: true, says: "parley wait"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if c.stopped {
				stop()
			}
			var out bytes.Buffer
			cmd := withJSON[v1.Event](&cobra.Command{})
			cmd.SetOut(&out)
			cmd.SetContext(ctx)
			err := awaitOutcome(cmd, &c.node, "1", 0)
			if out.String() != c.prints || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("it prints %q and says %v, want %q and %q", out.String(), err, c.prints, c.says)
			}
			if c.node.committed != c.committed {
				t.Errorf("it was committed %d times, want %d", c.node.committed, c.committed)
			}
			if c.stopped && exitCode(err) != 130 {
				t.Errorf("exit code %d, want 130", exitCode(err))
			}
		})
	}
}
