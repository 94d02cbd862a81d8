package main

import (
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
	return withJSON(&cobra.Command{
		Use:   "ls",
		Short: "List the peers, and how things stand with each",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			got, err := c.ListPeers(cmd.Context(), &v1.ListPeersRequest{})
			if err != nil {
				return said(err)
			}
			return show(cmd, got, func(out io.Writer) error {
				var rows [][]string
				for _, p := range got.Peers {
					rows = append(rows, []string{or(p.Name, "-"), p.Id, standing(p), fmt.Sprint(p.Made), fmt.Sprint(p.Asked)})
				}
				return table(out, "no peer is listed: parley peers add ID", "NAME ID STANDING MADE ASKED", rows)
			})
		},
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
	cmd := withJSON(&cobra.Command{
		Use:     "add ID",
		Short:   "Put a peer on the allow list",
		Long:    "Put a peer on the allow list, and into its file. One that is on it is replaced.",
		Example: "  parley peers add 12D3KooW… --name bob --address bob.example.org:4001",
		Args:    oneArgument("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			r.Id = args[0]
			got, err := c.AddPeer(cmd.Context(), r)
			if err != nil {
				return said(err)
			}
			return show(cmd, got, func(io.Writer) error { return nil })
		},
	})
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what to call it")
	f.StringArrayVar(&r.Addresses, "address", nil, "where to dial it; may be given again")
	f.StringArrayVar(&r.From, "from", nil, "an address or prefix from which alone it may come; may be given again")
	return cmd
}

func newPeersRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm PEER",
		Short: "Take a peer off the allow list",
		Long:  "Take a peer off the allow list and its file. What is open with it waits until it is\nlisted again.",
		Args:  oneArgument("PEER"),

		ValidArgsFunction: completePeers,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			_, err = c.RemovePeer(cmd.Context(), &v1.RemovePeerRequest{Peer: args[0]})
			return said(err)
		},
	}
}

func newPeersPending() *cobra.Command {
	return withJSON(&cobra.Command{
		Use:   "pending",
		Short: "List who proved a key, isn't listed, and was refused",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			got, err := c.ListPending(cmd.Context(), &v1.ListPendingRequest{})
			if err != nil {
				return said(err)
			}
			return show(cmd, got, func(out io.Writer) error {
				var rows [][]string
				for _, p := range got.Pending {
					rows = append(rows, []string{p.Id, p.Address, ago(p.First), ago(p.Last), fmt.Sprint(p.Count)})
				}
				return table(out, "nobody was refused", "ID FROM FIRST LAST TIMES", rows)
			})
		},
	})
}

func newPeersAccept() *cobra.Command {
	r := &v1.AddPeerRequest{}
	cmd := &cobra.Command{
		Use:   "accept ID",
		Short: "Put a peer that was refused on the allow list",
		Args:  oneArgument("ID"),

		ValidArgsFunction: completePending,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			pending, err := c.ListPending(cmd.Context(), &v1.ListPendingRequest{})
			if err != nil {
				return said(err)
			}
			if r.Id, err = oneOf(pending.Pending, args[0]); err != nil {
				return err
			}
			_, err = c.AddPeer(cmd.Context(), r)
			return said(err)
		},
	}
	cmd.Flags().StringVar(&r.Name, "name", "", "what to call it")
	cmd.Flags().StringArrayVar(&r.Addresses, "address", nil, "where to dial it; may be given again")
	return cmd
}
