package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newRequest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "request PEER [TEXT | -]",
		Short: "Make a request to a peer",
		Long: `Make a request and print its exchange's ID; with --wait, wait for the reply and print
that. The request is on disk then: it goes on whatever happens to this command, which
may be given again with the same --key.`,
		Example: "  parley request bob 'what time is it?' --wait\n  parley request bob --file nonces.bin --lane program-7 --key nonces-7",
		Args:    withMessage("PEER"),

		ValidArgsFunction: completeFirst(live(peersKnown)),
	}
	var (
		file, lane, key, address string
		deadline                 time.Duration
		wait                     bool
	)
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "the message is in this file")
	f.StringVar(&lane, "lane", "", "requests of one lane are exchanged one after the other")
	f.StringVar(&key, "key", "", "makes the request idempotent: the same key is the same exchange")
	f.StringVar(&address, "address", "", "where to dial the peer; by default, as the allow list says")
	f.DurationVar(&deadline, "deadline", 0, "after so long it ends as expired; 0: never")
	f.BoolVar(&wait, "wait", false, "wait for the reply, print and commit it")
	timeout := waitTime(cmd)
	completeFlag(cmd, "file", files)
	completeFlag(cmd, "lane", live(lanesOpen))
	asks(cmd, func(ctx context.Context, c api, args []string) (*v1.SendResponse, error) {
		body, err := message(args[1:], file, cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		m := &v1.Message{Peer: args[0], Body: body, Lane: lane, Key: key, Address: address}
		if deadline > 0 {
			m.Deadline = timestamppb.New(time.Now().Add(deadline))
		}
		sent, err := c.Send(ctx, &v1.SendRequest{Messages: []*v1.Message{m}})
		if err != nil || !wait {
			return sent, err
		}
		return nil, awaitOutcome(cmd, c, sent.Ids[0], *timeout)
	}, func(out io.Writer, sent *v1.SendResponse) error {
		_, err := fmt.Fprintln(out, sent.Ids[0])
		return err
	})
	return withJSON[v1.Event](cmd)
}

// message is what a command sends: its argument, a file or what it is given to read.
func message(args []string, file string, in io.Reader) ([]byte, error) {
	switch {
	case file != "" && len(args) > 0:
		return nil, usageError{errors.New("give the message as an argument or as --file, not both")}
	case file != "":
		return os.ReadFile(file)
	case len(args) == 0:
		return nil, usageError{errors.New("the message is missing: give it as an argument, as --file FILE, or as - to read it")}
	case args[0] == "-":
		return io.ReadAll(in)
	default:
		return []byte(args[0]), nil
	}
}
