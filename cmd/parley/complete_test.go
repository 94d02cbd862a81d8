package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a shell does where nothing is offered.
var (
	nothing     = fmt.Sprintf(":%d", cobra.ShellCompDirectiveNoFileComp)
	ofFiles     = fmt.Sprintf(":%d", cobra.ShellCompDirectiveDefault)
	directory   = fmt.Sprintf(":%d", cobra.ShellCompDirectiveFilterDirs)
	andNoSpace  = fmt.Sprintf(":%d", cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	meantAsFile = map[string]string{
		"parley key new": ofFiles, "parley key import": ofFiles, "parley key export": ofFiles,
		"parley journal dump": directory, "parley journal changes": directory, "parley journal check": directory,
		"--file": ofFiles, "--exec": ofFiles, "--dir": directory, "--keep": directory,
	}
)

// complete is what a shell is offered, a line each, and what it does besides.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, words...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestShellsOfferFilesOnlyWhereTheyAreMeant(t *testing.T) {
	t.Setenv("PARLEY_DIR", t.TempDir()) // where no node runs
	for _, cmd := range commands(newRoot()) {
		words := strings.Fields(cmd.CommandPath())[1:]
		if !cmd.HasSubCommands() {
			want := or(meantAsFile[cmd.CommandPath()], nothing)
			if got := complete(t, append(words, "")...); !slices.Equal(got, []string{want}) {
				t.Errorf("%s is offered %q, want %q alone", cmd.CommandPath(), got, want)
			}
			for _, more := range [][]string{{"first", ""}, {"first", "second", ""}} {
				if got := complete(t, append(slices.Clone(words), more...)...); got[len(got)-1] != nothing {
					t.Errorf("%s is offered %q after the first argument", cmd.CommandPath(), got)
				}
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			want := or(meantAsFile["--"+f.Name], nothing)
			if f.Name == "set" {
				want = andNoSpace
			}
			if f.Value.Type() == "bool" {
				return
			}
			if got := complete(t, append(slices.Clone(words), "--"+f.Name, "")...); got[len(got)-1] != want {
				t.Errorf("%s --%s is offered %q, want %q at the end", cmd.CommandPath(), f.Name, got, want)
			}
		})
	}
	if got := complete(t, "--dir", ""); !slices.Equal(got, []string{directory}) {
		t.Errorf("--dir is offered %q, want directories", got)
	}
}

func TestSettingsAreCompletedByNameAndByValue(t *testing.T) {
	names := complete(t, "run", "--set", "log")
	for _, want := range []string{"log.level=", "log.format=", "limits.open="} {
		if !slices.ContainsFunc(names, func(line string) bool { return strings.HasPrefix(line, want+"\t") }) {
			t.Errorf("%s isn't among %q", want, names)
		}
	}
	for _, c := range []struct {
		begun string
		want  []string
	}{
		{"log.level=", []string{"log.level=debug", "log.level=info", "log.level=warn", "log.level=error", nothing}},
		{"log.format=", []string{"log.format=text", "log.format=json", nothing}},
		{"gate.stock_noise=", []string{"gate.stock_noise=true", "gate.stock_noise=false", nothing}},
		{"limits.open=", []string{nothing}},
		{"no.such=", []string{nothing}},
	} {
		if got := complete(t, "run", "--set", c.begun); !slices.Equal(got, c.want) {
			t.Errorf("--set %s is offered %q, want %q", c.begun, got, c.want)
		}
	}
	if got := complete(t, "key", "new", "a.key", "--kind", ""); !slices.Equal(got, []string{"ed25519", "secp256k1", nothing}) {
		t.Errorf("--kind is offered %q", got)
	}
}
