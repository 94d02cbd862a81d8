package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// read is a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheContainerIsBuiltWithTheGoOfTheModule(t *testing.T) {
	image := regexp.MustCompile(`(?m)^FROM golang:([0-9]+\.[0-9]+) AS`).FindStringSubmatch(read(t, "deploy/Dockerfile"))
	module := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindStringSubmatch(read(t, "go.mod"))
	if image == nil || module == nil || image[1] != module[1] {
		t.Errorf("the Dockerfile has Go %v, go.mod %v", image, module)
	}
}

// composed is a service of the compose file: a directory in place of a volume.
type composed struct {
	t    *testing.T
	name string
	dir  string
	id   string
	at   string // where it listens, in place of NAME:4001
}

// parley runs a command as the container would, whose directory is in its environment.
func (c *composed) parley(arguments ...string) string {
	c.t.Helper()
	command := c.command(arguments...)
	out, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: parley %v: %v\n%s", c.name, arguments, err, out)
	}
	return string(out)
}

func (c *composed) command(arguments ...string) *exec.Cmd {
	command := exec.Command("parley", arguments...)
	command.Env = append(os.Environ(), "PARLEY_DIR="+c.dir)
	return command
}

// up starts the node as the image's CMD does, and waits until it answers.
func (c *composed) up() {
	c.t.Helper()
	run := c.command("run")
	var said strings.Builder
	run.Stderr = &said
	if err := run.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = run.Process.Kill() // what it has is on disk
		_ = run.Wait()
		if c.t.Failed() {
			c.t.Logf("%s said:\n%s", c.name, &said)
		}
	})
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		out, err := c.command("status").Output()
		if found := regexp.MustCompile(`/ip4/\S+`).FindString(string(out)); err == nil && found != "" {
			c.at = found
			return
		}
	}
	c.t.Fatalf("%s isn't up:\n%s", c.name, &said)
}

// TestTheStepsOfTheComposeFileMakeACommittee takes the commands that the file names,
// in three directories, since Docker isn't everywhere.
func TestTheStepsOfTheComposeFileMakeACommittee(t *testing.T) {
	folder, err := os.MkdirTemp("", "parley-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	committee := map[string]*composed{}
	step := regexp.MustCompile(`(?m)^# +docker compose -f deploy/compose.yaml (run --rm|exec|up -d) ?(\w*) ?(.*)$`)
	steps := step.FindAllStringSubmatch(read(t, "deploy/compose.yaml"), -1)
	for _, s := range steps {
		how, name, words := s[1], s[2], strings.Fields(s[3])
		switch {
		case how == "run --rm": // what follows is for the image's ENTRYPOINT
			c := &composed{t: t, name: name, dir: filepath.Join(folder, name)}
			c.id, _, _ = strings.Cut(c.parley(append(words, "--listen", "127.0.0.1:0")...), "\n")
			committee[name] = c
		case how == "up -d":
			for _, c := range committee {
				c.up()
			}
		case words[0] != "/parley":
			t.Errorf("%s: a container has nothing but /parley", s[0])
		case strings.Contains(s[0], "BOBS-ID"): // and so on for each pair
			introduce(committee, strings.Join(words[1:], " "))
		case !strings.Contains(s[0], "CAROLS-ID"):
			committee[name].parley(words[1:]...)
		}
	}
	if len(committee) != 3 || len(steps) != 7 {
		t.Fatalf("the file names %d steps for %d nodes", len(steps), len(committee))
	}
	for name, c := range committee {
		if out := c.parley("doctor"); strings.Count(out, " answer ") != 2 {
			t.Errorf("%s doesn't know two others:\n%s", name, out)
		}
	}
}

// introduce has each of a committee give the command that makes Bob known to one.
func introduce(committee map[string]*composed, bob string) {
	for _, who := range committee {
		for _, to := range committee {
			if who != to {
				command := strings.NewReplacer("BOBS-ID", to.id, "bob:4001", to.at, "bob", to.name).Replace(bob)
				who.parley(strings.Fields(command)...)
			}
		}
	}
}
