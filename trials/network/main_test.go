package network

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// child names, in the environment, the part that a process plays which a test
// started: the test binary is also every other program that a test needs.
const child = "PARLEY_TRIAL_PART"

// directory is where that part finds its files, by the environment too.
const directory = "PARLEY_TRIAL_DIR"

var parts = map[string]func(dir string) error{
	"node": converse,
}

// forBinary is a directory for the test binary with failpoints, if one is built.
var forBinary string

func TestMain(m *testing.M) {
	if part, found := parts[os.Getenv(child)]; found {
		if err := part(os.Getenv(directory)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	// These tests wait for networks, rather than for a processor.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	var err error
	if forBinary, err = os.MkdirTemp("", "parley-network-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(forBinary)
	os.Exit(status)
}
