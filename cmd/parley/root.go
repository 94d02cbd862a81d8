package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const exitCodes = `Exit codes:
  0    it went well
  1    it failed
  2    the command was written wrongly
  3    it ran to its end, and something was off
  130  it was interrupted`

// usageError is a command written wrongly.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// interrupted is what a command says that was interrupted, where there is more to it.
type interrupted string

func (i interrupted) Error() string      { return string(i) }
func (interrupted) Is(target error) bool { return target == context.Canceled }

// exitCode is how the process ends; the codes are in the help.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, errOff):
		return 3
	case errors.Is(err, context.Canceled):
		return 130
	default:
		return 1
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "Hold many request/reply exchanges with known peers, and lose none",
		Long: "parley holds many request/reply exchanges at once with peers that are known by\n" +
			"their keys, over encrypted connections, and loses none of them.\n\n" + exitCodes,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("there is no command %q: see parley help", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.PersistentFlags().String("dir", "", "the node's directory (PARLEY_DIR; by default parley in the user's configuration)")
	completeFlag(root, "dir", directories)
	root.AddCommand(
		newInit(), newRun(), newID(), newKey(), newConfig(), newPeers(),
		newRequest(), newReply(), newReject(), newWait(), newCommit(), newInbox(), newExchanges(), newDeadLetters(), newStatus(), newWatch(), newDoctor(),
		newJournal(), newSimulate(), newDemo(), newDemoMember(), newVersion(),
	)
	return root
}

// noArguments is for commands that take flags alone.
func noArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{fmt.Errorf("%s takes no argument %q: see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return nil
}

// oneAtMost is for commands that take one argument, which may be left out.
func oneAtMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("%s takes one argument at most, %s: see %s --help", cmd.CommandPath(), name, cmd.CommandPath())}
		}
		return nil
	}
}

// oneArgument is for commands that take one, and says which.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one argument, %s: see %s --help", cmd.CommandPath(), name, cmd.CommandPath())}
		}
		return nil
	}
}

// oneOrMore is for commands that take one after the other.
func oneOrMore(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s takes one argument or more, %s: see %s --help", cmd.CommandPath(), name, cmd.CommandPath())}
		}
		return nil
	}
}

// withMessage is for commands that take one argument and, perhaps, a message.
func withMessage(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > 2 {
			return usageError{fmt.Errorf("%s takes %s and a message, in quotes if it has spaces: see %s --help", cmd.CommandPath(), name, cmd.CommandPath())}
		}
		return nil
	}
}

// release is what deploy/build calls a binary; empty in all others.
var release string

// version is the release, or that of the module as the Go tool recorded it.
func version() string {
	if release != "" {
		return release
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		return build.Main.Version
	}
	return "unknown"
}
