package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

const (
	killsPerMember = 4                      // one of them while it starts
	killDelayMax   = 20 * time.Millisecond  // after the moment that was drawn
	startKillMax   = 100 * time.Millisecond // after the start
	restartMax     = 200 * time.Millisecond // before a killed member is started again
	stopPatience   = 10 * time.Second       // for a member to end when it is told to
)

// runApart runs each member as a process of its own, and kills it a few times.
func runApart(ctx context.Context, g *gathering, seed uint64, tell func(bulletin), flags ...string) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	var keepers []func(context.Context) error
	for n := range g.Members {
		k := newKeeper(g, binary, n, seed)
		k.flags = flags
		keepers = append(keepers, func(ctx context.Context) error { return k.keep(ctx, tell) })
	}
	return together(ctx, keepers...)
}

// keeper starts a member, kills it at the moments that the seed drew, and starts
// it again. A moment is an amount of work done, rather than a time: so that on
// any machine the member is killed while it works. Once it is also killed while
// it starts after a crash, at any time in its recovery.
type keeper struct {
	binary    string
	flags     []string
	directory string
	member    int
	rng       *rand.Rand
	moments   []int // exchanges begun or answered by this member, ascending
	runs      int
}

func newKeeper(g *gathering, binary string, member int, seed uint64) *keeper {
	k := &keeper{
		binary: binary, directory: g.memberDirectory(member), member: member,
		rng: rand.New(rand.NewPCG(seed, uint64(member))),
	}
	for range killsPerMember - 1 {
		k.moments = append(k.moments, k.rng.IntN(2*g.Exchanges()))
	}
	slices.Sort(k.moments)
	return k
}

// draw draws a time below the given one.
func (k *keeper) draw(below time.Duration) time.Duration {
	return time.Duration(k.rng.Int64N(int64(below)))
}

func (k *keeper) keep(ctx context.Context, tell func(bulletin)) error {
	for ctx.Err() == nil {
		killed, err := k.run(ctx, tell)
		if err != nil {
			return fmt.Errorf("member %d: %w", k.member+1, err)
		}
		if killed {
			tell(bulletin{member: k.member, killed: true})
			select {
			case <-time.After(k.draw(restartMax)):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// run is one run of the member, from its start to its end.
func (k *keeper) run(ctx context.Context, tell func(bulletin)) (killed bool, err error) {
	log, err := os.OpenFile(filepath.Join(k.directory, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return false, err
	}
	defer log.Close() // the member has its own
	command := exec.Command(k.binary, append([]string{"demo-member", k.directory}, k.flags...)...)
	command.Stderr = log
	input, err := command.StdinPipe()
	if err != nil {
		return false, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := command.Start(); err != nil {
		return false, err
	}
	// The end of its input tells the member to end; what doesn't is killed.
	stopped := context.AfterFunc(ctx, func() {
		input.Close()
		time.AfterFunc(stopPatience, func() { command.Process.Kill() })
	})
	defer stopped()

	killed = k.follow(output, command.Process, tell)
	if err := command.Wait(); err != nil && !killed && ctx.Err() == nil {
		return false, fmt.Errorf("its process ended: %w", err)
	}
	return killed, nil
}

// follow tells the member's news until it ends, and kills it when a moment for
// that has come.
func (k *keeper) follow(output io.Reader, process *os.Process, tell func(bulletin)) bool {
	var killed atomic.Bool
	kill := func() {
		killed.Store(true) // first: the end of its output may be seen at once
		process.Kill()     // an error says that it has ended by itself
	}
	if k.runs++; k.runs == 2 {
		atStart := time.AfterFunc(k.draw(startKillMax), kill)
		defer atStart.Stop()
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var news memberNews
		if json.Unmarshal(lines.Bytes(), &news) != nil {
			continue // half a line: it was killed while it wrote
		}
		tell(bulletin{member: k.member, news: news})
		if len(k.moments) > 0 && news.Answered+news.Served >= k.moments[0] && !killed.Load() {
			k.moments = k.moments[1:]
			time.Sleep(k.draw(killDelayMax))
			kill()
		}
	}
	return killed.Load()
}
