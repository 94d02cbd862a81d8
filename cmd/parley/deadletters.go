package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newDeadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at the requests that no program could answer, and end them",
		Long: `Look at the requests whose program (parley run --exec) has failed as often as it may.
They wait for you: retry them, reject them, or answer them with parley reply.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadLettersLs(), newDeadLettersRetry(), newDeadLettersReject())
	return cmd
}

func newDeadLettersLs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the dead letters, the oldest first",
		Args:  noArguments,
	}
	return asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.ListDeadLettersResponse, error) {
		return c.ListDeadLetters(ctx, &v1.ListDeadLettersRequest{})
	}, func(out io.Writer, got *v1.ListDeadLettersResponse) error {
		var rows [][]string
		for _, l := range got.DeadLetters {
			rows = append(rows, []string{tag(l.Id), or(l.Name, l.Peer), or(l.Lane, "-"), ago(l.Died), fmt.Sprint(l.Attempts), l.Program, l.Reason})
		}
		return table(out, "no program has failed for good", "ID PEER LANE DIED ATTEMPTS PROGRAM REASON", rows)
	})
}

func newDeadLettersRetry() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "Give a dead letter to its program again, with all its attempts",
		Args:  oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(deadLetters)),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.RetryDeadLetterResponse, error) {
		return c.RetryDeadLetter(ctx, &v1.RetryDeadLetterRequest{Id: args[0]})
	}, silent)
}

func newDeadLettersReject() *cobra.Command {
	cmd := newReject()
	cmd.Short = "Refuse the request of a dead letter for good"
	cmd.ValidArgsFunction = completeFirst(live(deadLetters))
	cmd.Example = "  parley deadletters reject 3f9c --reason 'no such program'"
	return cmd
}
