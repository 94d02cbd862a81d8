package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newInbox() *cobra.Command {
	cmd := withJSON(&cobra.Command{
		Use:   "inbox",
		Short: "List what waits for you: requests to answer, outcomes to commit, notices",
		Long: `List the requests of peers that are to be answered with parley reply or reject, the
outcomes of requests made here that nobody has committed, and what an operator should
know. With --follow, print what comes, until interrupted.`,
		Example: "  parley inbox\n  parley inbox --follow --json --lane program-7",
		Args:    noArguments,
	})
	follow := cmd.Flags().Bool("follow", false, "go on with what comes")
	lane := cmd.Flags().String("lane", "", "only of lanes that begin so")
	after := cmd.Flags().Uint64("after", 0, "only what comes after this place")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client(cmd)
		if err != nil {
			return err
		}
		if *follow {
			stream, err := c.Follow(cmd.Context(), &v1.FollowRequest{After: *after, LanePrefix: *lane})
			if err != nil {
				return said(err)
			}
			for stream.Receive() {
				e := stream.Msg()
				if err := show(cmd, e, func(out io.Writer) error {
					_, err := fmt.Fprintln(out, strings.Join(eventRow(e), "  "))
					return err
				}); err != nil {
					return err
				}
			}
			return said(stream.Err())
		}
		got, err := c.Receive(cmd.Context(), &v1.ReceiveRequest{After: *after, LanePrefix: *lane, Max: 1000})
		if err != nil {
			return said(err)
		}
		return show(cmd, got, func(out io.Writer) error {
			var rows [][]string
			for _, e := range got.Events {
				rows = append(rows, eventRow(e))
			}
			return table(out, "nothing waits", "SEQ KIND ID PEER LANE WHEN WHAT", rows)
		})
	}
	return cmd
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
