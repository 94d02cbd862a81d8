package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newPeers() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Look at peers, and say who may connect",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPeersLs(), newPeersAdd(), newPeersRm(), newPeersPending(), newPeersAccept(), newPeersPing())
	return cmd
}

func newPeersLs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the peers, and how things stand with each",
		Args:  noArguments,
	}
	return asks(cmd, func(ctx context.Context, c api, _ []string) (*v1.ListPeersResponse, error) {
		return c.ListPeers(ctx, &v1.ListPeersRequest{})
	}, func(out io.Writer, got *v1.ListPeersResponse) error {
		var rows [][]string
		for _, p := range got.Peers {
			rows = append(rows, []string{or(p.Name, "-"), p.Id, standing(p), fmt.Sprint(p.Made), fmt.Sprint(p.Asked)})
		}
		return table(out, "no peer is listed: parley peers add ID", "NAME ID STANDING MADE ASKED", rows)
	})
}

// standing is how things stand with a peer, in a word or two.
func standing(p *v1.Peer) string {
	switch {
	case !p.Listed:
		return "not listed"
	case p.Halt != "":
		return "halted: " + p.Halt
	case p.KeptOutUntil != nil:
		return "kept out: " + p.Broke
	case p.Limited != "":
		return "limited: " + p.Limited
	case p.Connections > 0:
		return "connected"
	case p.Failures > 0:
		return fmt.Sprintf("%d dials failed, next %s", p.Failures, ago(p.Redial))
	default:
		return "idle"
	}
}

func newPeersAdd() *cobra.Command {
	r := &v1.AddPeerRequest{}
	cmd := &cobra.Command{
		Use:     "add ID",
		Short:   "Put a peer on the allow list",
		Long:    "Put a peer on the allow list, and into its file. One that is on it is replaced.",
		Example: "  parley peers add 12D3KooW… --name bob --address bob.example.org:4001",
		Args:    oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(peersRefused)),
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what to call it")
	f.StringArrayVar(&r.Addresses, "address", nil, "where to dial it; may be given again")
	f.StringArrayVar(&r.From, "from", nil, "an address or prefix from which alone it may come; may be given again")
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.AddPeerResponse, error) {
		r.Id = args[0]
		return c.AddPeer(ctx, r)
	}, silent)
}

func newPeersRm() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm PEER",
		Short: "Take a peer off the allow list",
		Long:  "Take a peer off the allow list and its file. What is open with it waits until it is\nlisted again.",
		Args:  oneArgument("PEER"),

		ValidArgsFunction: completeFirst(live(peersKnown)),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.RemovePeerResponse, error) {
		return c.RemovePeer(ctx, &v1.RemovePeerRequest{Peer: args[0]})
	}, silent)
}
