package parley_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// These tests hold the architecture: which package may know which, what a
// package hides by that, and how files are kept. They read the source alone, so
// they are fast and need no build.

const module = "github.com/parley-p2p/parley"

// room is a package, or a few that belong together, with everything below it.
type room struct {
	packages []string // paths in the module; "." is the root package alone
	hides    string   // from all others: the reason for its borders
	imports  []string // which of our packages it may import, besides its own
}

// house is every room there is. Imports point toward purity: what decides knows
// nothing of what acts. Whoever adds a package adds a row, here and in
// CONTRIBUTING.md.
var house = []room{
	{[]string{"."}, "how the mediator, the journal and the P2P protocol are wired together", []string{"identity", "allowlist", "internal/audit", "internal/mediator", "internal/fsm", "internal/journal", "internal/p2p"}},
	{[]string{"identity"}, "keys, peer IDs and key files", []string{"internal/durable"}},
	{[]string{"allowlist"}, "who may connect, and where that is written", []string{"identity", "internal/durable"}},
	{[]string{"internal/audit"}, "how changes of the allow list are written down", []string{"identity", "allowlist", "internal/durable"}},
	{[]string{"internal/durable"}, "how a small file is written, so that a crash leaves it whole", nil},
	{[]string{"internal/mediator"}, "the turn and the loop around it: the order persist, act, deliver", []string{"internal/fsm"}},
	{[]string{"internal/fsm"}, "every rule of an exchange, as a pure function of state, time and input", []string{"internal/wire"}},
	{[]string{"internal/wire"}, "the bytes of the frames and their limits", nil},
	{[]string{"internal/journal"}, "how records become durable, and the store below", nil},
	{[]string{"internal/p2p"}, "all of libp2p: connections, streams, the connection gater", []string{"internal/fsm", "internal/wire", "internal/noise", "identity", "allowlist"}},
	{[]string{"internal/noise"}, "how a Noise handshake is driven", nil},
	{[]string{"internal/simulate"}, "nodes, network, disk and applications on virtual time", []string{"internal/mediator", "internal/fsm", "internal/wire"}},
	{[]string{"internal/attack"}, "what a hostile peer does, on real sockets", []string{"internal/wire", "identity"}},
	{[]string{"internal/patch"}, "how a build is given changes that are not in the source", nil},
	{[]string{"trials"}, "real processes on real disks and sockets, and what they go through; for tests", []string{".", "identity", "allowlist", "internal/patch"}},
	{[]string{"internal/settings"}, "what a node is run with: file, environment and command line", []string{"."}},
	{[]string{"internal/programs"}, "how requests are answered by running programs, and what becomes of those that fail", []string{".", "identity", "internal/durable"}},
	{[]string{"internal/intake"}, "how many clients, and bytes of their calls, the local API takes in at once", nil},
	{[]string{"internal/control", "proto"}, "the daemon's local API", []string{".", "identity", "allowlist", "internal/programs", "internal/intake"}},
	{[]string{"cmd/parley"}, "the command line", []string{".", "identity", "allowlist", "internal", "proto", "examples"}},
	{[]string{"examples/committee"}, "a signing session, written as a user would", []string{".", "identity", "allowlist"}},
}

// foreign says which of our packages may import a module that we keep behind
// one door, and what of it.
var foreign = []struct {
	imports string // this and what is below it
	by      []string
	reason  string
}{
	{"github.com/libp2p", []string{"identity", "internal/noise", "internal/p2p", "internal/attack"}, "only internal/p2p knows connections and streams, internal/noise how they are secured, internal/attack those of others, and identity the keys"},
	{"github.com/multiformats", []string{"internal/p2p", "internal/attack"}, "an address is a string everywhere else"},
	{"github.com/multiformats/go-multiaddr", []string{"allowlist", "internal/p2p", "internal/attack"}, "allowlist checks addresses, internal/p2p and internal/attack dial them"},
	{"github.com/flynn/noise", []string{"internal/noise"}, "only internal/noise drives handshakes"},
	{"github.com/fsnotify", []string{"allowlist"}, "only the allow list follows a file"},
	{"github.com/cockroachdb", []string{"internal/journal"}, "only internal/journal knows Pebble"},
}

// impure is what internal/fsm may not import: whatever it would learn there
// comes in as an input, whatever it would do goes out in a Ready.
var impure = []string{"context", "crypto/rand", "io", "log", "math/rand", "net", "os", "runtime", "sync", "syscall"}

// clocks are the functions of package time that read or wait for the clock.
var clocks = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// vague are package names that say nothing of what is inside.
var vague = []string{"base", "common", "data", "helper", "helpers", "info", "lib", "manager", "misc", "model", "models", "shared", "types", "util", "utils"}

const longestFile = 500 // lines

func TestImportsPointTowardPurity(t *testing.T) {
	for _, file := range productSource(t) {
		from, known := roomOf(file.folder)
		if !known {
			t.Errorf("%s: package %s is not in the table of arch_test.go: give it a row that says what it hides", file.path, file.folder)
			continue
		}
		for _, imported := range file.imports() {
			to, ours := inModule(imported)
			if ours && !below(to, from.packages) && !below(to, from.imports) {
				t.Errorf("%s imports %s. %s hides %s; it may import %s of ours",
					file.path, listed([]string{to}), listed([]string{file.folder}), from.hides, orNothing(from.imports))
			}
		}
	}
}

func TestForeignModulesStayBehindOneDoor(t *testing.T) {
	for _, file := range productSource(t) {
		for _, imported := range file.imports() {
			// The most particular rule holds: it is the last one that fits.
			for _, rule := range slices.Backward(foreign) {
				if !within(imported, rule.imports) {
					continue
				}
				if !below(file.folder, rule.by) {
					t.Errorf("%s imports %s: %s", file.path, imported, rule.reason)
				}
				break
			}
		}
	}
}

func TestMachineIsPure(t *testing.T) {
	for _, file := range productSource(t) {
		if !within(file.folder, "internal/fsm") {
			continue
		}
		for _, imported := range file.imports() {
			if below(imported, impure) {
				t.Errorf("%s imports %s: the machine has no clock, randomness, log, disk or goroutine", file.path, imported)
			}
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			if what := impurity(node); what != "" {
				t.Errorf("%s: %s: the machine is a function of state, time and input", file.positions.Position(node.Pos()), what)
			}
			return true
		})
	}
}

// impurity names what makes a node of the syntax tree impure, if something does.
func impurity(node ast.Node) string {
	switch n := node.(type) {
	case *ast.GoStmt:
		return "a go statement"
	case *ast.ChanType:
		return "a channel"
	case *ast.SelectStmt:
		return "a select statement"
	case *ast.SelectorExpr:
		if name, ok := n.X.(*ast.Ident); ok && name.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
			return "time." + n.Sel.Name
		}
	}
	return ""
}

func TestEveryPackageIsExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, file := range productSource(t) {
		if !ast.IsGenerated(file.syntax) {
			explained[file.folder] = explained[file.folder] || file.syntax.Doc != nil
		}
	}
	for folder, done := range explained {
		if !done {
			t.Errorf("package %s has no package comment: say what it is for and what it hides", folder)
		}
	}
}

func TestFilesStayShort(t *testing.T) {
	for _, file := range productSource(t) {
		if lines := file.positions.File(file.syntax.FileStart).LineCount(); lines > longestFile && !ast.IsGenerated(file.syntax) {
			t.Errorf("%s has %d lines, more than %d: split it by meaning", file.path, lines, longestFile)
		}
	}
}

func TestPackageNamesSayWhatIsInside(t *testing.T) {
	for _, file := range productSource(t) {
		if name := file.syntax.Name.Name; slices.Contains(vague, name) {
			t.Errorf("%s: package %s: name it for what it provides", file.path, name)
		}
	}
}

// TestContributorsSeeTheTable keeps the table in CONTRIBUTING.md equal to the
// one that is enforced.
func TestContributorsSeeTheTable(t *testing.T) {
	page, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range house {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", listed(r.packages), r.hides, orNothing(r.imports)))
	}
	if table := strings.Join(rows, "\n"); !strings.Contains(string(page), table) {
		t.Errorf("the table in CONTRIBUTING.md should have these rows:\n%s", table)
	}
}

// source is one Go file.
type source struct {
	path, folder string // within the module, with slashes; the root's folder is "."
	positions    *token.FileSet
	syntax       *ast.File
}

// imports are the paths that the file imports.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser took it
		}
		paths = append(paths, imported)
	}
	return paths
}

// productSource reads all Go files of this module but tests. Files of nested
// modules are not ours.
func productSource(t *testing.T) []source {
	t.Helper()
	var files []source
	positions := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(positions, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(name)
		files = append(files, source{slashed, path.Dir(slashed), positions, syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// enter says whether to look into a folder: the go command wouldn't look into
// those that are skipped.
func enter(folder string) error {
	if folder == "." {
		return nil
	}
	base := filepath.Base(folder)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// roomOf returns the row of a package.
func roomOf(folder string) (room, bool) {
	for _, r := range house {
		if below(folder, r.packages) {
			return r, true
		}
	}
	return room{}, false
}

// inModule returns the path of a package within this module, if it is of it.
func inModule(imported string) (folder string, ours bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// below reports whether a package is one of these or below one of them.
func below(folder string, packages []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return within(folder, p) })
}

// within reports whether a package is this one or below it. Nothing is below
// the root: every package would be.
func within(folder, parent string) bool {
	return folder == parent || parent != "." && strings.HasPrefix(folder, parent+"/")
}

// listed writes packages as a row of the table has them.
func listed(packages []string) string {
	var names []string
	for _, p := range packages {
		if p == "." {
			p = "parley (root)"
		}
		names = append(names, "`"+p+"`")
	}
	return strings.Join(names, ", ")
}

func orNothing(packages []string) string {
	if len(packages) == 0 {
		return "nothing"
	}
	return listed(packages)
}
