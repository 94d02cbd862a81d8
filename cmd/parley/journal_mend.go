package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// wholeJournal is a journal without damage.
type wholeJournal struct {
	Directory string       `json:"directory"`
	Halted    []haltedPeer `json:"halted"` // one for each record of such a peer, at most
}

// haltedPeer is one to which nothing goes, and what for.
type haltedPeer struct {
	Peer string `json:"peer"`
	Why  string `json:"why"`
}

func newJournalCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Verify every checksum of a journal",
		Long: `Verify a journal, the node's own unless DIR names another: every checksum, and that
every record can be read. What is damaged is named, and the exit code is then 1. A
peer that is halted is named, with what to do, and the exit code is then 3. Nothing is
changed. The node must not be running.`,
		Args: oneAtMost("DIR"),

		ValidArgsFunction: completeFirst(directories),
	}
	return answers(cmd, func(cmd *cobra.Command, args []string) (*wholeJournal, error) {
		dir, err := journalOf(cmd, args)
		if err != nil {
			return nil, err
		}
		return checkJournal(dir)
	}, func(out io.Writer, j *wholeJournal) error {
		_, err := fmt.Fprintf(out, "%s is whole\n", j.Directory)
		return err
	})
}

// checkJournal verifies a journal; the error says what is damaged or, of one that is
// whole, which peers are halted.
func checkJournal(dir string) (*wholeJournal, error) {
	whole := &wholeJournal{Directory: dir, Halted: []haltedPeer{}}
	var halted, unreadable []error // one for each record that is kept
	err := journal.Walk(dir, journal.Options{}, func(e journal.Entry) error {
		if e.Kind != journal.OneRecord {
			return nil
		}
		switch peer, err := fsm.Trouble(e.Key, e.Value); {
		case err != nil && peer == "":
			unreadable = append(unreadable, fmt.Errorf("record %x: %w", e.Key, err))
		case err != nil:
			whole.Halted = append(whole.Halted, haltedPeer{peerText(peer), err.Error()})
			halted = append(halted, fmt.Errorf("%s: %w: start the node, and see parley journal new-epoch", peerText(peer), err))
		}
		return nil
	})
	if err := errors.Join(append(unreadable, err)...); err != nil {
		return nil, err
	}
	if len(halted) > 0 {
		return whole, fmt.Errorf("%w: %w", errOff, errors.Join(halted...))
	}
	return whole, nil
}

func newJournalNewEpoch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new-epoch PEER",
		Short: "Go on with a peer that is halted, after a journal was lost or set back",
		Long: `Go on with a peer that is halted since this node's journal was lost or set back, or
its key used twice. Before, make sure that one process and one journal are left. What
is open goes to the peer again, marked as possibly seen.`,
		Args: oneArgument("PEER"),

		ValidArgsFunction: completeFirst(live(peersKnown)),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.RenewEpochResponse, error) {
		return c.RenewEpoch(ctx, &v1.RenewEpochRequest{Peer: args[0]})
	}, silent)
}

func newJournalForget() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget ID",
		Short: "Drop a reply that its peer never fetches",
		Long: `Drop the reply to a request that a peer made and whose answer it never fetches. Should
it ask after all, it is told that the reply was dropped: it gets no other.`,
		Args: oneArgument("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(ofPeers))),
	}
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.ForgetResponse, error) {
		return c.Forget(ctx, &v1.ForgetRequest{Id: args[0]})
	}, silent)
}
