package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/internal/programs"
	"github.com/parley-p2p/parley/internal/settings"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the node's settings",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(), newConfigView())
	return cmd
}

func newConfigCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether the settings can be used",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			s, _, err := n.settings(cmd)
			if err != nil {
				return err
			}
			answering, err := runnable(s)
			if err == nil {
				err = programs.Check(answering, n.dir)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s can be used\n", n.path(settings.File))
			return err
		},
	}
}

func newConfigView() *cobra.Command {
	return &cobra.Command{
		Use:   "view",
		Short: "List all settings, their values and where those were set",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			s, all, err := n.settings(cmd)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, s := range all {
				rows = append(rows, []string{s.Name, valueText(s.Value), s.From, s.Doc})
			}
			answering, err := runnable(s)
			if err != nil {
				return err
			}
			rows = append(rows, programRows(answering, n.path(settings.File))...)
			return table(cmd.OutOrStdout(), "", "SETTING VALUE SET-BY MEANING", rows)
		},
	}
}

func valueText(v any) string {
	switch v := v.(type) {
	case settings.Duration:
		return time.Duration(v).String()
	case string:
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprint(v)
	}
}
