package main

import (
	"fmt"
	"io"
	"strings"
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

// checkedSettings are settings that can be used.
type checkedSettings struct {
	File string `json:"file"`
}

func newConfigCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether the settings can be used",
		Args:  noArguments,
	}
	return answers(cmd, func(cmd *cobra.Command, _ []string) (*checkedSettings, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		s, _, err := n.settings(cmd)
		if err != nil {
			return nil, err
		}
		answering, err := runnable(s)
		if err == nil {
			err = programs.Check(answering, n.dir)
		}
		if err != nil {
			return nil, err
		}
		return &checkedSettings{n.path(settings.File)}, nil
	}, func(out io.Writer, c *checkedSettings) error {
		_, err := fmt.Fprintf(out, "%s can be used\n", c.File)
		return err
	})
}

// allSettings are the settings, and the programs that answer requests.
type allSettings struct {
	Settings []setting `json:"settings"`
	Programs []program `json:"programs"`
}

type setting struct {
	Name    string `json:"name"`
	Value   any    `json:"value"` // a string, a number or a truth, as in the file
	From    string `json:"from"`
	Meaning string `json:"meaning"`
}

type program struct {
	Lane    string   `json:"lane"` // how the lanes begin; empty: all others
	Command []string `json:"command"`
	From    string   `json:"from"`
}

func newConfigView() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "view",
		Short: "List all settings, their values and where those were set",
		Args:  noArguments,
	}
	return answers(cmd, func(cmd *cobra.Command, _ []string) (*allSettings, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		s, all, err := n.settings(cmd)
		if err != nil {
			return nil, err
		}
		answering, err := runnable(s)
		if err != nil {
			return nil, err
		}
		view := &allSettings{Settings: []setting{}, Programs: []program{}}
		for _, one := range all {
			view.Settings = append(view.Settings, setting{one.Name, one.Value, one.From, one.Doc})
		}
		for _, p := range answering {
			view.Programs = append(view.Programs, program{p.Lane, p.Command, n.path(settings.File)})
		}
		return view, nil
	}, printSettings)
}

func printSettings(out io.Writer, view *allSettings) error {
	var rows [][]string
	for _, s := range view.Settings {
		rows = append(rows, []string{s.Name, valueText(s.Value), s.From, s.Meaning})
	}
	for _, p := range view.Programs {
		lanes := "answers all other lanes"
		if p.Lane != "" {
			lanes = fmt.Sprintf("answers the lanes that begin with %q", p.Lane)
		}
		rows = append(rows, []string{"program", strings.Join(p.Command, " "), p.From, lanes})
	}
	return table(out, "", "SETTING VALUE SET-BY MEANING", rows)
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
