package parley_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// child names, in the environment, the part that a process plays which a test
// started: the test binary is also every other program that a test needs.
const child = "PARLEY_TEST_CHILD"

// parts is filled by the tests that need a process.
var parts = map[string]func() error{}

func TestMain(m *testing.M) {
	if part, found := parts[os.Getenv(child)]; found {
		if err := part(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
