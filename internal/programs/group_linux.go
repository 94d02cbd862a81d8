package programs

import "syscall"

// apart gives a program a process group of its own, and has the kernel kill it when
// the thread that started it ends: with the node, however that dies.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
