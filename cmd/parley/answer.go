package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// schema names the form of what --json prints; it changes when a field is renamed,
// goes, or means something else, not when one is added.
const schema = "parley/1"

// asks makes a command one that asks the running node and prints its answer.
func asks[T any](cmd *cobra.Command, ask func(context.Context, api, []string) (*T, error), print func(io.Writer, *T) error) *cobra.Command {
	return answers(cmd, func(cmd *cobra.Command, args []string) (*T, error) {
		c, err := client(cmd)
		if err != nil {
			return nil, err
		}
		answer, err := ask(cmd.Context(), c, args)
		return answer, said(err)
	}, print)
}

// answers makes a command one that finds an answer and prints it: as JSON if that was
// asked for, and else by print. An answer that comes with an error is printed before it.
func answers[T any](cmd *cobra.Command, find func(*cobra.Command, []string) (*T, error), print func(io.Writer, *T) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		answer, err := find(cmd, args)
		if answer == nil {
			return err
		}
		return errors.Join(show(cmd, answer, print), err)
	}
	return withJSON[T](cmd)
}

// withJSON gives a command the flag, which says what is printed; or says that it
// prints this too.
func withJSON[T any](cmd *cobra.Command) *cobra.Command {
	if f := cmd.Flags().Lookup("json"); f != nil {
		f.Usage += " or " + nameOf(reflect.TypeFor[T]())
		return cmd
	}
	cmd.Flags().Bool("json", false, "print JSON, of the schema "+schema+": "+nameOf(reflect.TypeFor[T]()))
	return cmd
}

// nameOf is what the schema calls an answer, or a part of one.
func nameOf(t reflect.Type) string { return strings.ToUpper(t.Name()[:1]) + t.Name()[1:] }

// show prints one answer.
func show[T any](cmd *cobra.Command, answer *T, print func(io.Writer, *T) error) error {
	if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	return print(cmd.OutOrStdout(), answer)
}

// silent is for answers that say no more than that it went well.
func silent[T any](io.Writer, *T) error { return nil }

// printJSON prints one line: the schema's name, and the fields of the answer.
func printJSON(out io.Writer, answer any) error {
	var text []byte
	var err error
	if message, is := answer.(proto.Message); is {
		text, err = protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	} else {
		text, err = json.Marshal(answer)
	}
	if err != nil {
		return err
	}
	var fields bytes.Buffer
	if err := json.Compact(&fields, text); err != nil {
		return err
	}
	rest := fields.String()[1:] // after the brace
	if rest != "}" {
		rest = "," + rest
	}
	_, err = fmt.Fprintf(out, "{\"schema\":%q%s\n", schema, rest)
	return err
}
