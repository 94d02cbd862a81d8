package programs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/parley-p2p/parley"
)

const (
	// tracesDirectory is in the node's directory, and has a trace of each program that
	// runs, at most maxRunning: by these the next start finds what a killed node left.
	tracesDirectory = "running"
	// maxKernel bounds what is read of a file of the kernel, in bytes: the environment
	// of a process is the largest.
	maxKernel = 8 << 20
	// dying is how long what was left may take to end once it is killed.
	dying = 5 * time.Second
)

// trace is a file that says which exchange a program runs for, in which boot of the
// machine, and then its process group and when that began. It needs no sync: what a
// machine ran has ended with it. The nil trace is none.
type trace struct{ *os.File }

// leaveTrace says that a program is about to be started.
func leaveTrace(directory string, id parley.ID) (*trace, error) {
	directory = filepath.Join(directory, tracesDirectory)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(directory, strings.ReplaceAll(id.String(), "/", "-")+"-*") // one for each that runs: maxRunning
	if err != nil {
		return nil, err
	}
	t := &trace{f}
	if _, err := fmt.Fprintln(f, id, boot()); err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

// started says which process it is. Should that fail, it is still found by the exchange.
func (t *trace) started(pid int) {
	if t == nil {
		return
	}
	if p, err := look(pid); err == nil {
		_, _ = fmt.Fprintln(t, pid, p.start)
	}
}

// remove says that the program has ended. A trace that stays is one of nobody.
func (t *trace) remove() {
	if t != nil {
		_, _ = os.Remove(t.Name()), t.Close()
	}
}

// boot tells one boot of the machine from another; empty where that is hidden.
func boot() string {
	text, err := kernel("sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// endLeft kills what a node that was killed has left running.
func endLeft(directory string, log *slog.Logger) error {
	directory = filepath.Join(directory, tracesDirectory)
	traces, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range traces {
		path := filepath.Join(directory, entry.Name())
		text, err := os.ReadFile(path) // of some 200 bytes, one for each trace: maxRunning
		if err != nil {
			return err
		}
		if l, ours := leftBy(string(text)); ours {
			l.end(log)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// left is what a trace tells of.
type left struct {
	exchange string
	group    int    // 0: the node was killed before it could say
	start    uint64 // of the group's first process, in ticks since the machine's start
	known    bool   // that the group is still what the trace tells of
}

// leftBy reads a trace. False: nothing of it can run any more.
func leftBy(text string) (l left, ours bool) {
	first, second, _ := strings.Cut(text, "\n")
	var then string
	if l.exchange, then, ours = strings.Cut(first, " "); !ours || then != boot() {
		return l, false
	}
	if rest, whole := strings.CutSuffix(second, "\n"); whole {
		if _, err := fmt.Sscan(rest, &l.group, &l.start); err != nil {
			l.group = 0
		}
	}
	return l, true
}

// end kills it, and waits until it has ended.
func (l *left) end(log *slog.Logger) {
	log = log.With("exchange", l.exchange)
	warned := false
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		alive := l.alive()
		if len(alive) == 0 {
			return
		}
		if time.Since(began) > dying {
			log.Error("a program of a node that was killed can't be killed, and may have its effect beside the next", "processes", alive)
			return
		}
		if !warned {
			log.Warn("a program of a node that was killed still runs, and is killed", "processes", alive)
			warned = true
		}
		for _, pid := range alive {
			_ = syscall.Kill(pid, syscall.SIGKILL) // who has ended meanwhile is missing in the next round
		}
	}
}

// alive are its processes. That a number is in use again for something else shows by
// the first process, or else by what the others were told.
func (l *left) alive() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, err := look(pid)
		if err != nil || p.ended || l.group != 0 && p.group != l.group {
			continue
		}
		told := l.told(pid)
		if l.group == 0 && !told {
			continue
		}
		l.known = l.known || told || pid == l.group && p.start == l.start
		pids = append(pids, pid)
	}
	if !l.known {
		return nil
	}
	return pids
}

// told reports whether a process was told of the exchange by its environment.
func (l *left) told(pid int) bool {
	environment, err := kernel(fmt.Sprint(pid, "/environ"))
	if err != nil {
		return false // it is somebody else's
	}
	for one := range bytes.SplitSeq(environment, []byte{0}) {
		if string(one) == "PARLEY_EXCHANGE="+l.exchange {
			return true
		}
	}
	return false
}

// process is how one stands.
type process struct {
	ended bool // and only waits to be reaped
	group int
	start uint64
}

func look(pid int) (p process, err error) {
	text, err := kernel(fmt.Sprint(pid, "/stat"))
	if err != nil {
		return p, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name before may hold anything
	if len(fields) < 20 {
		return p, fmt.Errorf("process %d: /proc says %q", pid, text)
	}
	p.ended = fields[0] == "Z" || fields[0] == "X"
	p.group, err = strconv.Atoi(fields[2])
	if err == nil {
		p.start, err = strconv.ParseUint(fields[19], 10, 64)
	}
	return p, err
}

// kernel reads a file of /proc.
func kernel(name string) ([]byte, error) {
	f, err := os.Open("/proc/" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKernel))
}
