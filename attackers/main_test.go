package attackers

import (
	"fmt"
	"os"
	"testing"
)

// child names, in the environment, the part that a process plays which a test
// started: each side of an attack is counted in a process of its own.
const child = "PARLEY_ATTACKERS_CHILD"

var parts = map[string]func() error{"defender": defend, "attacker": knock}

func TestMain(m *testing.M) {
	if part, found := parts[os.Getenv(child)]; found {
		if err := part(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
