package main

import (
	"fmt"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print what happens, as it does, without taking anything",
		Long: `Print the events of the node's inbox and what an operator should know, as they come,
until interrupted: without payloads, and without taking a request in its application's
stead. What a program answers (parley run --exec) doesn't pass through the inbox.`,
		Args: noArguments,
	}
	all := cmd.Flags().Bool("all", false, "begin with what the inbox holds already")
	count := cmd.Flags().Int("count", 0, "end after so many; 0: never")
	lane := cmd.Flags().String("lane", "", "only of lanes that begin so")
	completeFlag(cmd, "lane", live(lanesOpen))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client(cmd)
		if err != nil {
			return err
		}
		r := &v1.FollowRequest{LanePrefix: *lane, WithoutBody: true, Watching: true}
		if !*all {
			s, err := c.Status(cmd.Context(), &v1.StatusRequest{})
			if err != nil {
				return said(err)
			}
			r.After = s.Last
		}
		return said(follow(cmd, c, r, *count, watchedRow))
	}
	return withJSON[v1.Event](cmd)
}

// watchedRow is an event with its moment, and the size of the body that it is without.
func watchedRow(e *v1.Event) []string {
	row := eventRow(e)
	row[5] = e.Time.AsTime().Local().Format("15:04:05.000")
	if e.Kind == v1.EventKind_EVENT_KIND_REQUEST || e.Kind == v1.EventKind_EVENT_KIND_REPLY {
		row[6] = fmt.Sprintf("%d bytes", e.Size)
	}
	return row
}
