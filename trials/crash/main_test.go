package crash

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-p2p/parley/internal/patch"
	"github.com/parley-p2p/parley/trials/failpoints"
)

var (
	kills    = flag.Int("kills", 16, "processes to be killed at random moments")
	thorough = flag.Bool("thorough", false, "try every place at several passes, on both sides, and every commit of a session")
	seed     = flag.Uint64("seed", 1, "of the moments, and of the jobs")
)

// patience is how long a test waits for progress. Nothing depends on how long it
// really takes.
const patience = time.Minute

// sideBySide bounds the pairs that run at once: most of their time they wait for
// the disk or for each other.
const sideBySide = "6"

// parts are what a process may be that a test started: the test binary is also
// every other program that a test needs.
var parts = map[string]func() error{"asker": ask, "answerer": answer}

func TestMain(m *testing.M) {
	if part, found := parts[os.Getenv("PARLEY_TRIAL_PART")]; found {
		os.Exit(play(part))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(builtIn)
		if testing.Verbose() {
			fmt.Printf("%d processes killed, %d of them at a named place; %d exchanges\n", killed.Load(), reached.Load(), exchanges.Load())
		}
		os.Exit(code)
	}))
}

// outOfRoom is how a process ends whose journal the disk has refused to write.
const outOfRoom = 3

// play runs a part and returns the process's exit status.
func play(part func() error) int {
	err := part()
	switch {
	case err == nil:
		return 0
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()):
		fmt.Println("out of room:", err)
		return outOfRoom
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

var builtIn string // the directory of the program with failpoints

// withFailpoints is this test binary with failpoints and a journal of small tables,
// built once.
var withFailpoints = sync.OnceValues(func() (program string, err error) {
	if builtIn, err = os.MkdirTemp("", "parley-failpoints-"); err != nil {
		return "", err
	}
	small, err := patch.Read("small.patch")
	if err != nil {
		return "", err
	}
	return failpoints.BuildTest(builtIn, "./trials/crash", small)
})
