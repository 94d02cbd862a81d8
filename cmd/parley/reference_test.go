package main

import (
	"bytes"
	"encoding"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

var rewrite = flag.Bool("rewrite", false, "write docs/cli and testdata/schema.txt anew")

// TestTheReferenceIsThatOfTheCommands keeps docs/cli equal to what the commands say.
func TestTheReferenceIsThatOfTheCommands(t *testing.T) {
	folder := filepath.Join("..", "..", "docs", "cli")
	if *rewrite {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var pages []string
	for _, cmd := range commands(newRoot()) {
		var page bytes.Buffer
		if err := doc.GenMarkdown(cmd, &page); err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "_") + ".md"
		pages = append(pages, name)
		golden(t, filepath.Join(folder, name), page.Bytes())
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(pages, e.Name()) {
			t.Errorf("docs/cli/%s is of no command", e.Name())
		}
	}
}

// commands is a command and all below it that are shown.
func commands(cmd *cobra.Command) []*cobra.Command {
	cmd.DisableAutoGenTag = true
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

// own are the answers that no call of the API gives.
var own = []reflect.Type{
	reflect.TypeFor[allChanges](), reflect.TypeFor[allSettings](), reflect.TypeFor[build](), reflect.TypeFor[checkedSettings](),
	reflect.TypeFor[examination](), reflect.TypeFor[explanation](), reflect.TypeFor[journalEntry](), reflect.TypeFor[keyFile](), reflect.TypeFor[listening](), reflect.TypeFor[madeNode](),
	reflect.TypeFor[simulation](), reflect.TypeFor[wholeJournal](),
}

// asText are the commands without an answer of the schema: what has one of its own.
var asText = []string{"parley demo"}

// TestTheSchemaOfJSONIsKept shows what programs that read --json and the API rely on:
// a field may be added; one that is renamed, goes or changes its kind needs another
// schema.
func TestTheSchemaOfJSONIsKept(t *testing.T) {
	lines := []string{schema}
	for _, cmd := range commands(newRoot()) {
		if !cmd.HasSubCommands() && !slices.Contains(asText, cmd.CommandPath()) {
			lines = append(lines, cmd.CommandPath()+": "+promised(t, cmd))
		}
	}
	told := map[string]bool{} // a member is in two places
	for _, answer := range own {
		for _, line := range fields(answer) {
			if !told[line] {
				lines, told[line] = append(lines, line), true
			}
		}
	}
	messages := v1.File_parley_v1_node_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			lines = append(lines, string(m.Name())+"."+field(m.Fields().Get(j)))
		}
	}
	golden(t, filepath.Join("testdata", "schema.txt"), []byte(strings.Join(lines, "\n")+"\n"))
}

// promised is what a command says that it prints with --json, all of which must be
// in the schema.
func promised(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	flag := cmd.Flags().Lookup("json")
	if flag == nil {
		t.Errorf("%s has no --json", cmd.CommandPath())
		return ""
	}
	_, names, _ := strings.Cut(flag.Usage, schema+": ")
	for name := range strings.SplitSeq(names, " or ") {
		isOwn := slices.ContainsFunc(own, func(answer reflect.Type) bool { return nameOf(answer) == name })
		if !isOwn && v1.File_parley_v1_node_proto.Messages().ByName(protoreflect.Name(name)) == nil {
			t.Errorf("%s prints a %q, of which the schema says nothing", cmd.CommandPath(), name)
		}
	}
	return names
}

// fields are those of an answer of our own, and of what it is made of.
func fields(answer reflect.Type) (lines []string) {
	var inner []string
	for i := range answer.NumField() {
		f := answer.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind, list := f.Type, ""
		if kind.Kind() == reflect.Slice {
			kind, list = kind.Elem(), "list of "
		}
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		lines = append(lines, nameOf(answer)+"."+name+": "+list+kindOf(kind))
		if kind.Kind() == reflect.Struct && !kind.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			inner = append(inner, fields(kind)...)
		}
	}
	return append(lines, inner...)
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "Timestamp"
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "string"
	case t.Kind() == reflect.Struct:
		return nameOf(t)
	case t.Kind() == reflect.Map:
		return "object of " + kindOf(t.Elem())
	case t.Kind() == reflect.Interface:
		return "string, number or bool"
	default:
		return t.Kind().String()
	}
}

func field(f protoreflect.FieldDescriptor) string {
	kind := f.Kind().String()
	switch {
	case f.Message() != nil:
		kind = string(f.Message().Name())
	case f.Enum() != nil:
		kind = string(f.Enum().Name())
	}
	if f.IsList() {
		kind = "list of " + kind
	}
	return f.JSONName() + ": " + kind
}

// golden compares a file with what it should be.
func golden(t *testing.T, path string, want []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s isn't what it should be (%v): run make vectors, and read the difference", path, err)
	}
}
