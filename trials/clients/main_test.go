package clients

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	exchanges = flag.Int("exchanges", 30, "exchanges amid which daemons are killed")
	every     = flag.Int("every", 4, "exchanges that come on each kill")
	seed      = flag.Uint64("seed", 1, "of the moments and the victims")
)

// patience is how long a test waits for progress. Nothing depends on how long it
// really takes.
const patience = 2 * time.Minute

var built string // the directory of what the tests have built

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if built, err = os.MkdirTemp("", "parley-built-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// parley is the daemon and command line, built once.
var parley = sync.OnceValues(func() (program string, err error) {
	program = filepath.Join(built, "parley")
	return program, build("go", "build", "-o", program, "github.com/parley-p2p/parley/cmd/parley")
})

// rustTick is examples/tick.rs, built once.
var rustTick = sync.OnceValues(func() (program string, err error) {
	return filepath.Join(built, "rust", "release", "examples", "tick"),
		cargo("build", "--release", "--example", "tick")
})

func cargo(command string, args ...string) error {
	return build("cargo", cargoArgs(command, args...)...)
}

func cargoArgs(command string, args ...string) []string {
	return append([]string{command, "--offline", "--locked", "--quiet", "--manifest-path", filepath.Join(sources, "rust", "Cargo.toml"), "--target-dir", filepath.Join(built, "rust")}, args...)
}

func build(name string, args ...string) error {
	if text, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(text)))
	}
	return nil
}

// need skips a test where a program isn't there that it needs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s isn't installed: %v", program, err)
		}
	}
}
