package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/settings"
)

// completionTime is how long a shell waits for the node, at most. Where none answers
// nothing is offered, and nothing said.
const completionTime = time.Second

// completeFirst completes the first argument, and offers nothing after it.
func completeFirst(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}

// completeFlag completes a flag's value.
func completeFlag(cmd *cobra.Command, name string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // our own code names a flag that there isn't
	}
}

// files and directories leave it to the shell. What is completed by none of all these
// is offered nothing: a shell would offer files where none are meant.
func files(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func directories(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// live offers what the running node knows.
func live(ask func(context.Context, api) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		c, err := client(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		all, err := ask(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// choices are the values of settings that have few.
var choices = map[string][]cobra.Completion{
	"log.level":  {"debug", "info", "warn", "error"},
	"log.format": {"text", "json"},
}

// completeSettings offers the names of settings, and the values of those with few.
func completeSettings(_ *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	name, _, named := strings.Cut(toComplete, "=")
	for _, s := range settings.All() {
		switch {
		case !named:
			all = append(all, cobra.CompletionWithDesc(s.Name+"=", s.Doc))
		case s.Name == name:
			for _, value := range valuesOf(s) {
				all = append(all, name+"="+value)
			}
		}
	}
	if named {
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func valuesOf(s settings.Setting) []cobra.Completion {
	if _, is := s.Value.(bool); is {
		return []cobra.Completion{"true", "false"}
	}
	return choices[s.Name]
}
