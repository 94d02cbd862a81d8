package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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

// TestTheSchemaOfJSONIsKept shows what programs that read --json and the API rely on:
// a field may be added; one that is renamed, goes or changes its kind needs another
// schema.
func TestTheSchemaOfJSONIsKept(t *testing.T) {
	lines := []string{schema}
	messages := v1.File_parley_v1_node_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		for j := range m.Fields().Len() {
			lines = append(lines, string(m.Name())+"."+field(m.Fields().Get(j)))
		}
	}
	golden(t, filepath.Join("testdata", "schema.txt"), []byte(strings.Join(lines, "\n")+"\n"))
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
