package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newInbox() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inbox",
		Short: "List what waits for you: requests to answer, outcomes to commit, notices",
		Long: `List the requests of peers that are to be answered with parley reply or reject, the
outcomes of requests made here that nobody has committed, and what an operator should
know. With --follow, print what comes, until interrupted.`,
		Example: "  parley inbox\n  parley inbox --follow --json --lane program-7",
		Args:    noArguments,
	}
	goOn := cmd.Flags().Bool("follow", false, "go on with what comes")
	lane := cmd.Flags().String("lane", "", "only of lanes that begin so")
	after := cmd.Flags().Uint64("after", 0, "only what comes after this place")
	completeFlag(cmd, "lane", live(lanesOpen))
	asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.ReceiveResponse, error) {
		if *goOn {
			return nil, follow(cmd, c, &v1.FollowRequest{After: *after, LanePrefix: *lane}, 0, eventRow)
		}
		return c.Receive(ctx, &v1.ReceiveRequest{After: *after, LanePrefix: *lane, Max: 1000})
	}, func(out io.Writer, got *v1.ReceiveResponse) error {
		var rows [][]string
		for _, e := range got.Events {
			rows = append(rows, eventRow(e))
		}
		return table(out, "nothing waits", "SEQ KIND ID PEER LANE WHEN WHAT", rows)
	})
	return withJSON[v1.Event](cmd)
}

// follow prints events as they come, a line each, and ends after so many; 0: never.
func follow(cmd *cobra.Command, c api, r *v1.FollowRequest, most int, row func(*v1.Event) []string) error {
	stream, err := c.Follow(cmd.Context(), r)
	if err != nil {
		return err
	}
	for seen := 1; stream.Receive(); seen++ {
		err := show(cmd, stream.Msg(), func(out io.Writer, e *v1.Event) error {
			_, err := fmt.Fprintln(out, line(row(e), "  "))
			return err
		})
		if err != nil {
			return err
		}
		if seen == most {
			return stream.Close()
		}
	}
	return cmp.Or(stream.Err(), errors.New("the node has stopped"))
}

func eventRow(e *v1.Event) []string {
	kind := strings.ToLower(strings.TrimPrefix(e.Kind.String(), "EVENT_KIND_"))
	what := excerpt(e.Body)
	switch e.Kind {
	case v1.EventKind_EVENT_KIND_NOTICE:
		what = e.Notice + because(e.Reason)
	case v1.EventKind_EVENT_KIND_FAILED:
		what = e.Outcome + because(e.Reason)
	}
	if e.Damage != "" {
		what = "damaged: " + e.Damage
	}
	if e.Redelivered {
		kind += "*"
	}
	return []string{fmt.Sprint(e.Seq), kind, or(tag(e.Id), "-"), or(or(e.Name, e.Peer), "-"), or(e.Lane, "-"), ago(e.Time), what}
}

// excerpt is the beginning of a body, where it is text, and else its size.
func excerpt(body []byte) string {
	const most = 40
	if !utf8.Valid(body) || strings.ContainsFunc(string(body), func(r rune) bool { return r < ' ' && r != '\n' }) {
		return fmt.Sprintf("%d bytes", len(body))
	}
	line, _, _ := strings.Cut(string(body), "\n")
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return line
}
