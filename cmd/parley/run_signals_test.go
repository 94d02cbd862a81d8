//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command runs parley to its end, and gives what it prints.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("parley", args...).Output()
	if err != nil {
		t.Fatalf("parley %q: %v", args, err)
	}
	return string(out)
}

// life is one of a node.
type life struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	said string // a file
}

// begin has a node run.
func begin(t *testing.T, dir string, args ...string) *life {
	t.Helper()
	l := &life{exec.Command("parley", append([]string{"run", "--dir", dir}, args...)...), t, dir, dir + ".said"}
	said, err := os.Create(l.said)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	l.Stdout, l.Stderr = said, said
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.ProcessState == nil {
			_ = l.Process.Kill() // the test has failed already
			_ = l.Wait()
		}
		if t.Failed() {
			text, err := os.ReadFile(l.said)
			t.Logf("the node said (%v):\n%s", err, text)
		}
	})
	return l
}

// until waits for a file to have something that fits, and gives what the group found.
func (l *life) until(path, expression string) string {
	l.t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) { // a poll of a real process
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			l.t.Fatal(err)
		}
		if found := regexp.MustCompile(expression).FindSubmatch(text); found != nil {
			return string(found[len(found)-1])
		}
	}
	l.t.Fatalf("%s never had %s", path, expression)
	return ""
}

func (l *life) signal(s os.Signal) {
	l.t.Helper()
	if err := l.Process.Signal(s); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) exits(code int) {
	l.t.Helper()
	_ = l.Wait() // its state says how
	if got := l.ProcessState.ExitCode(); got != code {
		l.t.Errorf("it ended with %v, want exit code %d", l.ProcessState, code)
	}
}

// busy is a node with a program that runs.
func busy(t *testing.T, handler string) (bob *life) {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ids := map[string]string{}
	for _, name := range []string{"alice", "bob"} {
		ids[name], _, _ = strings.Cut(command(t, "init", "--dir", filepath.Join(dir, name), "--listen", "127.0.0.1:0"), "\n")
	}
	program := filepath.Join(dir, "handler")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+handler), 0o700); err != nil {
		t.Fatal(err)
	}
	alice := begin(t, filepath.Join(dir, "alice"))
	bob = begin(t, filepath.Join(dir, "bob"), "--exec", program)
	alice.until(alice.said, "listens on")
	address := bob.until(bob.said, `listens on (\S+)`)
	command(t, "peers", "add", "--dir", bob.dir, ids["alice"], "--name", "alice")
	command(t, "peers", "add", "--dir", alice.dir, ids["bob"], "--name", "bob", "--address", address)
	command(t, "request", "--dir", alice.dir, "bob", "work")
	bob.until(filepath.Join(bob.dir, "started"), "started")
	return bob
}

func TestANodeThatStopsHeedsNoHangupAndServesItsProgramsToTheirEnd(t *testing.T) {
	bob := busy(t, `echo started >started
until [ -e go ]; do sleep 0.01; done
parley status --dir "$PARLEY_DIR" >result 2>&1 && echo well >>result`)
	bob.signal(syscall.SIGHUP)
	if names := bob.until(bob.said, `need another start"=(.*)`); names != "[]" {
		t.Errorf("nothing has changed, and %s need another start", names)
	}
	bob.signal(syscall.SIGTERM)
	bob.until(bob.said, "the node stops.*second signal")
	bob.signal(syscall.SIGHUP)
	if err := os.WriteFile(filepath.Join(bob.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bob.exits(0)
	if text, err := os.ReadFile(filepath.Join(bob.dir, "result")); err != nil || !strings.HasSuffix(string(text), "well\n") {
		t.Errorf("the program was told (%v):\n%s", err, text)
	}
}

func TestASecondSignalEndsANodeAtOnceWithItsPrograms(t *testing.T) {
	bob := busy(t, `mkfifo held
echo started >started
exec 3>held
sleep 600 & wait`)
	held, err := os.Open(filepath.Join(bob.dir, "held")) // waits for who writes
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	bob.signal(os.Interrupt)
	bob.until(bob.said, "the node stops.*second signal")
	bob.signal(syscall.SIGTERM)
	bob.exits(130)
	bob.until(bob.said, "the node ends at once")
	if _, err := io.ReadAll(held); err != nil { // it ends once no process holds the other end
		t.Error(err)
	}
}

// The settings are a pipe here, so that it is known when they are read.
func TestAHangupBeforeANodeIsReadyHasTheSettingsReadAgain(t *testing.T) {
	dir, err := os.MkdirTemp("", "parley-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dir = filepath.Join(dir, "node")
	command(t, "init", "--dir", dir, "--listen", "127.0.0.1:0")
	path := filepath.Join(dir, "parley.toml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = syscall.Mkfifo(path, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	node := begin(t, dir)
	read := func(meanwhile func()) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for who reads
		if err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if _, err := file.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read(func() { node.signal(syscall.SIGHUP) })
	node.until(node.said, "listens on")
	read(func() {})
	node.until(node.said, "settings were read again")
	node.signal(syscall.SIGTERM)
	node.exits(0)
}
