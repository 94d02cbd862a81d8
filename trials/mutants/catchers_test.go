package mutants

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// catcher is a part of the suite that may notice a mutant.
type catcher struct {
	name   string
	folder string        // of its package
	args   []string      // of its test binary
	sees   []string      // the folders whose code it runs
	within time.Duration // it is given up after; without a mutant it needs a tenth of it
}

// catchers are in the order in which they are tried: general ones first, and of
// those the quicker.
var catchers = []catcher{
	{
		name: "simulation", folder: "trials/mutants",
		args: []string{"-test.run", "GroupsKeep", "-groups", "200"},
		sees: []string{"internal/fsm", "internal/mediator", "internal/wire"}, within: 3 * time.Minute,
	},
	{
		name: "stories", folder: "internal/fsm",
		args: []string{"-test.run", "AnyStory", "-stories", "200"},
		sees: []string{"internal/fsm"}, within: 3 * time.Minute,
	},
	{
		name: "exploration", folder: "internal/fsm",
		args: []string{"-test.run", "Explor"},
		sees: []string{"internal/fsm"}, within: 5 * time.Minute,
	},
	{
		name: "rules", folder: "internal/fsm",
		args: []string{"-test.skip", "AnyStory|Explor"},
		sees: []string{"internal/fsm"}, within: 3 * time.Minute,
	},
	{name: "mediator", folder: "internal/mediator", sees: []string{"internal/mediator"}, within: 2 * time.Minute},
	{name: "journal", folder: "internal/journal", sees: []string{"internal/journal"}, within: 5 * time.Minute},
	{name: "wire", folder: "internal/wire", sees: []string{"internal/wire"}, within: time.Minute},
	{name: "p2p", folder: "internal/p2p", sees: []string{"internal/p2p"}, within: 5 * time.Minute},
}

// brokenLine is a line of a test that goes on, and has failed; its number, if
// there is one, is of the seed or story.
var brokenLine = regexp.MustCompile(`^\s+\w+_test\.go:\d+: (?:seed|story) (\d+),|^\s*--- FAIL`)

// catch runs a test binary until it has failed or ended. It returns what it said
// of its failure, and the number of the seed or story.
func (c catcher) catch(t *testing.T, binary string) (caught bool, said, seed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), c.within)
	defer cancel()
	run := exec.CommandContext(ctx, binary, append([]string{"-test.v", "-test.failfast"}, c.args...)...)
	run.Dir = filepath.Join(root, filepath.FromSlash(c.folder))
	read, write := io.Pipe()
	run.Stdout, run.Stderr = write, write
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := run.Wait()
		write.Close()
		ended <- err
	}()
	var last []string // of what was said
	lines := bufio.NewScanner(read)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = append(last[max(0, len(last)-20):], lines.Text())
		if broken := brokenLine.FindStringSubmatch(lines.Text()); broken != nil {
			caught, seed = true, broken[1]
			break
		}
	}
	if caught {
		cancel() // the rest isn't waited for
	}
	_, _ = io.Copy(io.Discard, read)
	err := <-ended
	if ctx.Err() == context.DeadlineExceeded && !caught {
		t.Logf("%s wasn't done within %v", c.name, c.within)
		return false, "", ""
	}
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return caught || err != nil, strings.Join(last, "\n"), seed
}

// build makes a catcher's test binary, with a mutant laid over it.
func (c catcher) build(t *testing.T, overlay, into string) string {
	t.Helper()
	binary := filepath.Join(into, strings.ReplaceAll(c.folder, "/", "_")+".test")
	args := []string{"test", "-c", "-vet=off", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	make := exec.CommandContext(t.Context(), "go", append(args, "./"+c.folder)...)
	make.Dir = root
	if said, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%s doesn't build: %v\n%s", c.folder, err, said)
	}
	return binary
}

// could says whether a catcher runs code of these files.
func (c catcher) could(files []string) bool {
	return slices.ContainsFunc(files, func(file string) bool { return slices.Contains(c.sees, filepath.ToSlash(filepath.Dir(file))) })
}
