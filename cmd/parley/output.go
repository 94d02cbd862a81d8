package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// schema names the form of what --json prints; it changes when a field is renamed,
// goes, or means something else, not when one is added.
const schema = "parley/1"

// withJSON gives a command the flag.
func withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool("json", false, "print JSON, of the schema "+schema)
	return cmd
}

// show prints an answer: as JSON if that was asked for, and else by print.
func show(cmd *cobra.Command, answer proto.Message, print func(io.Writer) error) error {
	if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	return print(cmd.OutOrStdout())
}

// printJSON prints one line.
func printJSON(out io.Writer, answer proto.Message) error {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(answer)
	if err != nil {
		return err
	}
	line := bytes.NewBufferString(fmt.Sprintf(`{"schema":%q,`, schema))
	if err := json.Compact(line, text); err != nil {
		return err
	}
	whole := strings.Replace(line.String(), ",{", ",", 1)
	_, err = fmt.Fprintln(out, strings.Replace(whole, ",}", "}", 1))
	return err
}

// table prints rows under a head; without rows it says what there is none of.
func table(out io.Writer, none string, head string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, none)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// ago is how long ago something was, or how long it is still to come.
func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	if d := time.Since(t.AsTime()).Round(time.Second); d >= 0 {
		return d.String() + " ago"
	}
	return "in " + time.Until(t.AsTime()).Round(time.Second).String()
}

// or is a text, or another where it is empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// tag is an exchange's digits, of which the beginning is enough to name it.
func tag(id string) string {
	_, digits, _ := strings.Cut(id, "/")
	return digits[:min(len(digits), 12)]
}
