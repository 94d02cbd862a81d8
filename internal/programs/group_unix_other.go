//go:build unix && !linux

package programs

import "syscall"

// apart gives a program a process group of its own.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
