package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/settings"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newJournalCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [DIR]",
		Short: "Verify every checksum of a journal",
		Long: `Verify a journal, the node's own unless DIR names another: every checksum, and that
every record can be read. What is damaged is named, and the exit code is then 1. A
peer that is halted is named, with what to do, and the exit code is then 3. Nothing is
changed. The node must not be running.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			dir := n.path(settings.Journal)
			if len(args) == 1 {
				dir = args[0]
			}
			var halted, unreadable []error // one for each record that is kept
			err = journal.Dump(dir, journal.Options{}, io.Discard, func(key, value []byte) string {
				switch peer, err := fsm.Trouble(key, value); {
				case err != nil && peer == "":
					unreadable = append(unreadable, fmt.Errorf("record %x: %w", key, err))
				case err != nil:
					halted = append(halted, fmt.Errorf("%s: %w: start the node, and see parley journal new-epoch", peerText(peer), err))
				}
				return ""
			})
			if err := errors.Join(append(unreadable, err)...); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is whole\n", dir); err != nil || len(halted) == 0 {
				return err
			}
			return fmt.Errorf("%w: %w", errOff, errors.Join(halted...))
		},
	}
}

func newJournalNewEpoch() *cobra.Command {
	return &cobra.Command{
		Use:   "new-epoch PEER",
		Short: "Go on with a peer that is halted, after a journal was lost or set back",
		Long: `Go on with a peer that is halted since this node's journal was lost or set back, or
its key used twice. Before, make sure that one process and one journal are left. What
is open goes to the peer again, marked as possibly seen.`,
		Args:              oneArgument("PEER"),
		ValidArgsFunction: completePeers,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			_, err = c.RenewEpoch(cmd.Context(), &v1.RenewEpochRequest{Peer: args[0]})
			return said(err)
		},
	}
}

func newJournalForget() *cobra.Command {
	return &cobra.Command{
		Use:   "forget ID",
		Short: "Drop a reply that its peer never fetches",
		Long: `Drop the reply to a request that a peer made and whose answer it never fetches. Should
it ask after all, it is told that the reply was dropped: it gets no other.`,
		Args:              oneArgument("ID"),
		ValidArgsFunction: completeExchanges(func(x *v1.Exchange) bool { return !x.MadeHere }),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client(cmd)
			if err != nil {
				return err
			}
			_, err = c.Forget(cmd.Context(), &v1.ForgetRequest{Id: args[0]})
			return said(err)
		},
	}
}
