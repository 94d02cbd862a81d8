package main

import (
	"context"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func newReply() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reply ID [TEXT | -]",
		Short:   "Answer a peer's request",
		Long:    "Answer a request of the inbox. When the command ends well the reply is on disk, and is\nsent until the peer has it.",
		Example: "  parley reply 3f9c 'half past nine'\n  parley reply 3f9c --file signature.bin",
		Args:    withMessage("ID"),

		ValidArgsFunction: completeFirst(live(exchangesOpen(toBeAnswered))),
	}
	file := cmd.Flags().String("file", "", "the reply is in this file")
	completeFlag(cmd, "file", files)
	return asks(cmd, func(ctx context.Context, c api, args []string) (*v1.ReplyResponse, error) {
		body, err := message(args[1:], *file, cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		return c.Reply(ctx, &v1.ReplyRequest{Id: args[0], Body: body})
	}, silent)
}
