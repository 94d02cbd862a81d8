package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts are what a newcomer types (testdata/script). Besides the usual commands
// they have
//
//	until REGEXP COMMAND...   runs a command again and again until it prints that
//	keep NAME REGEXP          keeps what the regexp's group finds in the last output
//	disk FOLDER MIB           makes a disk of that size, where [disks] holds
//	fill FOLDER MIB           fills it with a file, filler, but for so much
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"until": until,
			"keep":  keep,
			"disk":  disk,
			"fill":  fill,
		},
		Condition: func(name string) (bool, error) {
			if name == "disks" {
				return canMakeDisks, nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
	})
}

// patience is how long something that must happen may take.
const patience = 30 * time.Second

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND...")
	}
	var said string
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		command := exec.Command(args[1], args[2:]...)
		command.Dir = ts.MkAbs(".")
		command.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		_ = command.Run() // what it says is what counts
		said = out.String()
		if matches(ts, args[0], said) != nil {
			ts.Setenv("said", said)
			return
		}
	}
	ts.Fatalf("%s never said %s, but at last\n%s", strings.Join(args[1:], " "), args[0], said)
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME REGEXP")
	}
	for _, text := range []string{ts.ReadFile("stdout"), ts.Getenv("said")} {
		if found := matches(ts, args[1], text); len(found) == 2 {
			ts.Setenv(args[0], found[1])
			return
		}
	}
	ts.Fatalf("nothing that was said fits %s", args[1])
}

func matches(ts *testscript.TestScript, expression, text string) []string {
	e, err := regexp.Compile("(?m)" + expression)
	ts.Check(err)
	return e.FindStringSubmatch(text)
}
