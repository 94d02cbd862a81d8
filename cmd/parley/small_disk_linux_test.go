package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// canMakeDisks reports whether scripts can have a disk of their own.
var canMakeDisks = os.Geteuid() == 0

// disk makes a small disk: disk FOLDER MIB.
func disk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: disk FOLDER MIB")
	}
	folder := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(folder, 0o700))
	ts.Check(syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+args[1]+"m"))
	ts.Defer(func() { ts.Check(syscall.Unmount(folder, syscall.MNT_DETACH)) })
}

// fill fills a disk, or fills it further, until so much is free: fill FOLDER MIB.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill FOLDER MIB")
	}
	folder := ts.MkAbs(args[0])
	mebibytes, err := strconv.ParseUint(args[1], 10, 16)
	ts.Check(err)
	left := mebibytes << 20
	filler, err := os.OpenFile(filepath.Join(folder, "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	ts.Check(err)
	defer filler.Close()
	var usage syscall.Statfs_t
	ts.Check(syscall.Statfs(folder, &usage))
	for free := usage.Bavail * uint64(usage.Bsize); free > left; free -= min(free, 4096) { // the node writes meanwhile
		if _, err := filler.Write(make([]byte, min(4096, free-left))); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			ts.Fatalf("fill: %v", err)
		}
	}
}
