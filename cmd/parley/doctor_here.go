package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/durable"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/programs"
	"github.com/parley-p2p/parley/internal/settings"
)

const (
	// thisNode is what the findings about this node are about.
	thisNode = "node"
	// slowSync is what a sync of the disk may take before it is a finding.
	slowSync = 200 * time.Millisecond
	// leap is how far files may be ahead of the clock.
	leap = time.Minute
)

// here looks at what can be seen without the node's running.
func (e *examination) here(cmd *cobra.Command, n node) {
	s, _, err := n.settings(cmd)
	if err == nil {
		var all []programs.Program
		if all, err = runnable(s); err == nil {
			err = programs.Check(all, n.dir)
		}
	}
	e.tell(thisNode, "settings", n.path(settings.File), err, "mend the file; parley config check looks at it again")
	key, err := n.key()
	e.tell(thisNode, "key", key.PeerID().String(), err, "the file must be the node's, and readable by its user alone")
	list, err := allowlist.Load(n.path(settings.AllowList))
	members := 0
	if err == nil {
		members = len(list.Members())
	}
	e.tell(thisNode, "peers", fmt.Sprintf("%d listed", members), err, "mend the file; the node goes on with the list that it read last")
	e.disk(n)
	e.clock(n, time.Now())
}

// disk measures the room on the node's disk, and what a sync takes there.
func (e *examination) disk(n node) {
	free, low, err := journal.Room(n.dir)
	if err == nil && low {
		err = fmt.Errorf("%d MiB are free: the node takes nothing more", free>>20)
	}
	e.tell(thisNode, "disk", fmt.Sprintf("%.1f GiB are free", float64(free)/(1<<30)), err, "make room on the disk of "+n.dir)
	took, err := syncTime(n.dir)
	if err == nil && took > slowSync {
		err = fmt.Errorf("a sync takes %s", took)
	}
	advice := "every exchange waits for a few syncs: put the node's directory on a faster disk, or find what else writes to this one"
	if errors.Is(err, syscall.ENOSPC) {
		advice = "how fast it is shows once there is room"
	}
	e.tell(thisNode, "sync", fmt.Sprintf("a sync takes %s", took.Round(10*time.Microsecond)), err, advice)
}

// syncTime is the median of what it takes to write a small file durably.
func syncTime(dir string) (time.Duration, error) {
	var all []time.Duration
	for range 5 {
		path := durable.Draft(dir + string(os.PathSeparator) + "doctor")
		began := time.Now()
		if err := durable.WriteNew(path, make([]byte, 4096), 0o600); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
		if err := os.Remove(path); err != nil {
			return 0, err
		}
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// clock finds a clock that was set back, by what the node has written before.
func (e *examination) clock(n node, now time.Time) {
	var newest time.Time
	for _, name := range []string{settings.File, settings.Key, settings.AllowList, settings.Journal, "runs"} {
		if status, err := os.Stat(n.path(name)); err == nil && status.ModTime().After(newest) {
			newest = status.ModTime()
		}
	}
	var err error
	switch ahead := newest.Sub(now); {
	case now.Year() < 2025:
		err = errors.New("it was never set")
	case ahead > leap:
		err = fmt.Errorf("the node's files are from %s in the future", ahead.Round(time.Second))
	}
	e.tell(thisNode, "clock", now.Format(time.RFC3339), err, "set the clock, by NTP best: deadlines and retries go by it")
}
