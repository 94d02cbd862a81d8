//go:build unix

package programs

import (
	"os/exec"
	"syscall"
)

// ownGroup gives a program a process group of its own, all of which is killed when
// its time is over.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = apart()
	cmd.Cancel = func() error { return killGroup(cmd) }
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
