package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newWait() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Wait for the outcome of a request, print and commit it",
		Long: `Wait for the outcome of a request that was made here, as request --wait does: print the
reply and commit it. Of a request that ended otherwise it is said how, and the exit
code is 1.`,
		Example: "  parley wait 3f9c",
		Args:    oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(madeHere))),
	}
	timeout := waitTime(cmd)
	return asks(cmd, func(_ context.Context, c api, args []string) (*v1.Event, error) {
		return nil, awaitOutcome(cmd, c, args[0], *timeout) // which prints it before it commits
	}, silent)
}

func waitTime(cmd *cobra.Command) *time.Duration {
	return cmd.Flags().Duration("timeout", 0, "how long to wait; 0: until it ends")
}

// awaitOutcome waits for an exchange's end, prints it, and only then commits it.
func awaitOutcome(cmd *cobra.Command, c api, id string, timeout time.Duration) error {
	e, err := outcome(cmd.Context(), c, id, timeout)
	if errors.Is(err, context.Canceled) {
		return interrupted(id + " goes on: parley wait waits for it again")
	}
	if err != nil {
		return err
	}
	err = show(cmd, e, func(out io.Writer, e *v1.Event) error {
		if e.Outcome != "answered" {
			return nil
		}
		_, err := out.Write(e.Body)
		return err
	})
	if err != nil {
		return err
	}
	if e.Damage != "" {
		return fmt.Errorf("the reply to %s can't be read, and isn't committed: %s", e.Id, e.Damage)
	}
	if _, err := c.Commit(cmd.Context(), &v1.CommitRequest{Ids: []string{e.Id}}); err != nil {
		return err
	}
	if e.Outcome != "answered" {
		return fmt.Errorf("%s was %s%s", e.Id, e.Outcome, because(e.Reason))
	}
	return nil
}

// outcome waits for an exchange's end, call after call.
func outcome(ctx context.Context, c api, id string, timeout time.Duration) (*v1.Event, error) {
	began := time.Now()
	for {
		length := 30 * time.Second
		if timeout > 0 {
			length = min(length, max(0, timeout-time.Since(began)))
		}
		e, err := c.Wait(ctx, &v1.WaitRequest{Id: id, Wait: durationpb.New(length)})
		if err == nil || connect.CodeOf(err) != connect.CodeDeadlineExceeded || timeout > 0 && time.Since(began) >= timeout {
			return e, err
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + harmless(reason)
}
