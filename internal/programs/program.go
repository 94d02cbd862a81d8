package programs

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parley-p2p/parley/identity"
)

const (
	// maxPrograms bounds the programs of a node. More are refused at the start.
	maxPrograms = 100
	// maxRunning bounds how many may run at once, of all programs together: what is set
	// beyond it is refused at the start.
	maxRunning = 256
	// defaultConcurrency bounds how many of one program run at once, where it isn't set.
	// The requests beyond it wait.
	defaultConcurrency = 4
)

// Program answers the requests of some lanes. Zero means the default.
type Program struct {
	// Lane is what the lanes begin with; empty: all. The longest that fits counts.
	Lane string
	// Command is the program and its arguments. A relative path is one from the
	// node's directory; a name without a slash is looked up in PATH.
	Command []string
	// Concurrency bounds how many run at once. Default 4; each has a request and its
	// reply in memory.
	Concurrency int
	// TimeLimit is how long one may run. Default 1 min.
	TimeLimit time.Duration
	// Attempts is how often a request is tried, at least 1. Default 6.
	Attempts int
	// RetryMin is the delay after the first failure, which doubles with each that
	// follows up to RetryMax. Defaults 1 s and 5 min.
	RetryMin, RetryMax time.Duration
}

// Check says whether the programs can be run, those of a node in a directory.
func Check(all []Program, directory string) error {
	if len(all) > maxPrograms {
		return fmt.Errorf("%d programs: there may be %d", len(all), maxPrograms)
	}
	lanes, running := map[string]bool{}, 0 // of maxPrograms
	for _, p := range all {
		if lanes[p.Lane] {
			return p.wrong(errors.New("another program has the same lane: one of them would never run"))
		}
		lanes[p.Lane] = true
		filled, err := p.withDefaults(directory)
		if err != nil {
			return err
		}
		if running += min(filled.Concurrency, maxRunning+1); running > maxRunning {
			return p.wrong(fmt.Errorf("concurrency: with it more than %d would run at once, of all programs: lower it", maxRunning))
		}
	}
	return nil
}

func (p Program) wrong(err error) error { return fmt.Errorf("program for lane %q: %w", p.Lane, err) }

// withDefaults fills in what is zero, finds the command and refuses what can't be
// meant.
func (p Program) withDefaults(directory string) (Program, error) {
	if len(p.Command) == 0 || p.Command[0] == "" {
		return p, p.wrong(errors.New("command is missing: give a path, or a list of a path and arguments"))
	}
	path := p.Command[0]
	if strings.ContainsRune(path, '/') && !filepath.IsAbs(path) {
		path = filepath.Join(directory, path)
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return p, p.wrong(fmt.Errorf("%w: a relative path is one from %s, and it must be executable", err, directory))
	}
	p.Command = slices.Concat([]string{found}, p.Command[1:])
	var errs []error
	orDefault(&errs, "concurrency", &p.Concurrency, defaultConcurrency)
	orDefault(&errs, "time_limit", &p.TimeLimit, time.Minute)
	orDefault(&errs, "attempts", &p.Attempts, 6)
	orDefault(&errs, "retry_min", &p.RetryMin, time.Second)
	orDefault(&errs, "retry_max", &p.RetryMax, 5*time.Minute)
	if err := errors.Join(errs...); err != nil {
		return p, p.wrong(err)
	}
	return p, nil
}

func orDefault[T int | time.Duration](errs *[]error, name string, value *T, otherwise T) {
	switch {
	case *value == 0:
		*value = otherwise
	case *value < 0:
		*errs = append(*errs, fmt.Errorf("%s is negative", name))
	}
}

// delay is how long to wait after so many failures in a row.
func (p Program) delay(failures int) time.Duration {
	d := p.RetryMin
	for range failures - 1 {
		if d *= 2; d >= p.RetryMax {
			return p.RetryMax
		}
	}
	return min(d, p.RetryMax)
}

// pool is a program with the requests that wait for it: one of each peer in turn.
type pool struct {
	Program
	running int
	turns   []identity.ID          // the peers with requests that wait, one for each peer
	waiting map[identity.ID][]*job // those, at most Config.MaxOpen
}

func (p *pool) add(j *job) {
	if len(p.waiting[j.event.Peer]) == 0 {
		p.turns = append(p.turns, j.event.Peer)
	}
	p.waiting[j.event.Peer] = append(p.waiting[j.event.Peer], j)
}

// next takes out the next request whose turn it is; nil if there is none.
func (p *pool) next() *job {
	if len(p.turns) == 0 {
		return nil
	}
	peer := p.turns[0]
	j := p.waiting[peer][0]
	p.remove(j)
	if len(p.waiting[peer]) > 0 { // to the end
		p.turns = append(p.turns[1:], peer)
	}
	return j
}

// remove takes out a request, if it waits.
func (p *pool) remove(j *job) {
	peer := j.event.Peer
	at := slices.Index(p.waiting[peer], j)
	if at < 0 {
		return
	}
	p.waiting[peer] = slices.Delete(p.waiting[peer], at, at+1)
	if len(p.waiting[peer]) == 0 {
		delete(p.waiting, peer)
		p.turns = slices.DeleteFunc(p.turns, func(other identity.ID) bool { return other == peer })
	}
}
