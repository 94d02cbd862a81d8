package programs

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// exchange is that of a program which a killed node left.
func exchange(t *testing.T) parley.ID {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return parley.ID{Dialer: key.PeerID(), Tag: [16]byte{1}}
}

// sleeper is a process in a group of its own.
func sleeper(t *testing.T, environment ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", "600")
	c.Env = environment
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may be dead
		_ = c.Wait()
	})
	return c
}

func started(t *testing.T, c *exec.Cmd) uint64 {
	t.Helper()
	p, err := look(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p.start
}

func TestWhatAKilledNodeLeftIsKilledAndNothingElse(t *testing.T) {
	id := exchange(t)
	told := "PARLEY_EXCHANGE=" + id.String()
	for name, c := range map[string]struct {
		environment string
		trace       func(pid int, start uint64) string
		killed      bool
	}{
		"the group's first process":           {"", func(pid int, start uint64) string { return fmt.Sprintln(id, boot()) + fmt.Sprintln(pid, start) }, true},
		"who was told of the exchange":        {told, func(pid int, start uint64) string { return fmt.Sprintln(id, boot()) + fmt.Sprintln(pid, start-1) }, true},
		"killed before the group was written": {told, func(int, uint64) string { return fmt.Sprintln(id, boot()) }, true},
		"killed amid the writing":             {told, func(pid int, _ uint64) string { return fmt.Sprintln(id, boot()) + fmt.Sprint(pid) }, true},
		"the number is used again":            {"", func(pid int, start uint64) string { return fmt.Sprintln(id, boot()) + fmt.Sprintln(pid, start-1) }, false},
		"of another group":                    {told, func(pid int, start uint64) string { return fmt.Sprintln(id, boot()) + fmt.Sprintln(os.Getpid(), start) }, false},
		"before the machine's start":          {told, func(pid int, start uint64) string { return fmt.Sprintln(id, "another") + fmt.Sprintln(pid, start) }, false},
		"nothing was written":                 {told, func(int, uint64) string { return "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			process := sleeper(t, c.environment)
			traces := filepath.Join(dir, tracesDirectory)
			if err := os.Mkdir(traces, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(traces, "trace"), []byte(c.trace(process.Process.Pid, started(t, process))), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := endLeft(dir, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			p, err := look(process.Process.Pid)
			if err != nil || p.ended != c.killed {
				t.Errorf("killed: %v, want %v (%v)", p.ended, c.killed, err)
			}
			if rest, err := os.ReadDir(traces); err != nil || len(rest) != 0 {
				t.Errorf("%d traces are left (%v)", len(rest), err)
			}
		})
	}
}

func TestATraceIsThereWhileItsProgramRuns(t *testing.T) {
	b := newBench(t, `until [ $(cat running/* | wc -l) = 2 ]; do sleep 0.01; done; ls running | wc -l; sed -n 2p running/*; cut -d ' ' -f 1,5,22 /proc/$$/stat`, Program{Attempts: 1})
	b.offer(b.request(1, ""))
	var count, group, start, pid, itsGroup, itsStart int
	said := <-b.node.ends
	if _, err := fmt.Sscanf(said, "reply %d\n%d %d\n%d %d %d", &count, &group, &start, &pid, &itsGroup, &itsStart); err != nil {
		t.Fatalf("%q: %v", said, err)
	}
	if count != 1 || group != pid || group != itsGroup || start != itsStart {
		t.Errorf("the trace and the process are\n%s", said)
	}
	b.stop()
	if rest, err := os.ReadDir(filepath.Join(b.dir, tracesDirectory)); err != nil || len(rest) != 0 {
		t.Errorf("%d traces are left (%v)", len(rest), err)
	}
}
