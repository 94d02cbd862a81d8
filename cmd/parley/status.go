package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the node does, and what each exchange waits for",
		Long: `Say how the node does, and what each exchange waits for. When the node itself is in
trouble, as with a disk that is full, the exit code is 3.`,
		Args: noArguments,
	}
	return asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.StatusResponse, error) {
		s, err := c.Status(ctx, &v1.StatusRequest{})
		if err == nil && s.Trouble != "" {
			err = fmt.Errorf("%w: %s", errOff, s.Trouble)
		}
		return s, err
	}, func(out io.Writer, s *v1.StatusResponse) error {
		fmt.Fprintf(out, "%s\n  listens on   %s\n  started      %s, version %s\n  exchanges    %d made here, %d of peers\n  inbox        %d\n",
			s.PeerId, strings.Join(s.Addresses, ", "), ago(s.Started), s.Version, s.ExchangesMade, s.ExchangesAsked, s.Inbox)
		for _, p := range s.Peers {
			fmt.Fprintf(out, "  %-11s  %s\n", or(p.Name, tag("/"+p.Id)), standing(p))
		}
		if len(s.Waiting) == 0 {
			return nil
		}
		fmt.Fprintln(out)
		return exchangesTable(out, s.Waiting)
	})
}
