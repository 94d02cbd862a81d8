package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/parley-p2p/parley"
)

const (
	// rejects is the exit code by which a program rejects a request.
	rejects = 100
	// maxSaid bounds what is kept of what a program writes to standard error, in
	// bytes: the last of it.
	maxSaid = 4 << 10
	// maxReason bounds the reason of a rejection, in bytes.
	maxReason = 1024
	// settle is how long a program's output may stay open when it has ended.
	settle = time.Second
)

// result is what came of a program.
type result struct {
	output []byte
	said   string // to standard error
	reject bool
	err    error // it has failed
}

// reason is why the program rejects the request.
func (r result) reason() string {
	text := strings.TrimSpace(string(r.output))
	if text == "" {
		text = strings.TrimSpace(r.said)
	}
	text = strings.ToValidUTF8(text, "?")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// run runs a program once, until the context ends. It says which process it has started.
func run(ctx context.Context, p Program, environment []string, directory string, body []byte, most int64, started func(pid int)) result {
	runtime.LockOSThread() // one thread for each that runs: should it end, so would the program on Linux
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, p.Command[0], p.Command[1:]...)
	cmd.Dir, cmd.Env = directory, environment
	cmd.Stdin = bytes.NewReader(body)
	output, said := &reply{most: most}, &tail{}
	cmd.Stdout, cmd.Stderr = output, said
	cmd.WaitDelay = settle
	ownGroup(cmd)
	err := cmd.Start()
	if err == nil {
		started(cmd.Process.Pid)
		err = cmd.Wait()
	}
	r := result{output: output.kept, said: string(said.kept)}
	var exit *exec.ExitError
	switch {
	case output.full:
		r.err = fmt.Errorf("it printed more than a message may have, %d bytes", most)
	case err == nil: // even when the limit has passed just now
	case errors.As(err, &exit) && exit.ExitCode() == rejects:
		r.reject = true
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.err = fmt.Errorf("it took longer than its time limit, %s, and was killed", p.TimeLimit)
	case errors.Is(err, exec.ErrWaitDelay):
		killGroup(cmd) // what holds the output
		r.err = errors.New("it ended and left processes behind that hold its output, which were killed: have them write elsewhere")
	default:
		r.err = err
	}
	return r
}

// environment is what a program is told of a request.
func (r *Runner) environment(e parley.Event, again bool) []string {
	redelivered, deadline := "", ""
	if again {
		redelivered = "1"
	}
	if !e.Deadline.IsZero() {
		deadline = e.Deadline.UTC().Format(time.RFC3339)
	}
	return append(os.Environ(),
		"PARLEY_EXCHANGE="+e.ID.String(), "PARLEY_PEER="+e.Peer.String(), "PARLEY_NAME="+r.options.Name(e.Peer), "PARLEY_LANE="+printable(e.Lane),
		"PARLEY_DEADLINE="+deadline, "PARLEY_REDELIVERED="+redelivered, "PARLEY_DIR="+r.options.Directory)
}

// printable is a text with the replacement character in place of what isn't UTF-8 or
// is a control character: an environment can't hold all of these.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r // for a byte that isn't UTF-8 it is the replacement character
	}, text)
}

// reply is what a program prints, up to a limit.
type reply struct {
	kept []byte // at most most bytes: Config.MaxMessageSize
	most int64
	full bool
}

func (r *reply) Write(b []byte) (int, error) {
	if int64(len(r.kept)+len(b)) > r.most {
		r.full = true
		return 0, errors.New("too much") // the program's next write fails
	}
	r.kept = append(r.kept, b...)
	return len(b), nil
}

// tail is the last maxSaid bytes of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b[max(0, len(b)-maxSaid):]...)
	t.kept = t.kept[max(0, len(t.kept)-maxSaid):]
	return len(b), nil
}
