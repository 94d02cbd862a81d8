package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newPeersPending() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pending",
		Short: "List who proved a key, isn't listed, and was refused",
		Args:  noArguments,
	}
	return asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.ListPendingResponse, error) {
		return c.ListPending(ctx, &v1.ListPendingRequest{})
	}, func(out io.Writer, got *v1.ListPendingResponse) error {
		var rows [][]string
		for _, p := range got.Pending {
			rows = append(rows, []string{p.Id, p.Address, ago(p.First), ago(p.Last), fmt.Sprint(p.Count)})
		}
		return table(out, "nobody was refused", "ID FROM FIRST LAST TIMES", rows)
	})
}

func newPeersAccept() *cobra.Command {
	r := &v1.AddPeerRequest{}
	cmd := &cobra.Command{
		Use:   "accept ID",
		Short: "Put a peer that was refused on the allow list",
		Args:  oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(peersRefused)),
	}
	cmd.Flags().StringVar(&r.Name, "name", "", "what to call it")
	cmd.Flags().StringArrayVar(&r.Addresses, "address", nil, "where to dial it; may be given again")
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.AddPeerResponse, error) {
		pending, err := c.ListPending(ctx, &v1.ListPendingRequest{})
		if err != nil {
			return nil, err
		}
		if r.Id, err = oneOf(pending.Pending, args[0]); err != nil {
			return nil, err
		}
		return c.AddPeer(ctx, r)
	}, silent)
}

// oneOf is the ID of the one that waits to be accepted and whose ID begins so.
func oneOf(pending []*v1.Pending, prefix string) (string, error) {
	var found []string
	for _, p := range pending {
		if strings.HasPrefix(p.Id, prefix) {
			found = append(found, p.Id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("no peer that was refused has an ID that begins with %q: see parley peers pending", prefix)
	default:
		return "", fmt.Errorf("%d peers that were refused have IDs that begin with %q: write more of it", len(found), prefix)
	}
}
