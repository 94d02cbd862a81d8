//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// canMakeDisks is false: scripts that need a disk of their own are skipped.
const canMakeDisks = false

func disk(*testscript.TestScript, bool, []string) {}
func fill(*testscript.TestScript, bool, []string) {}
