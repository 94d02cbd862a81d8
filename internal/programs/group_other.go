//go:build !unix

package programs

import "os/exec"

// ownGroup leaves it at killing the program alone, which is what there is here.
func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
