package main

import (
	"time"

	"github.com/parley-p2p/parley/examples/committee"
)

// bulletin is what is heard of a member.
type bulletin struct {
	member int
	news   memberNews
	killed bool // and nothing else
}

// memberView is what is known of a member, over all its runs.
type memberView struct {
	committee.Progress
	heard            bool
	resends, redials uint64 // in this run; what a member did after its last news is lost with it
	earlierResends   uint64
	earlierRedials   uint64
	crashes          int
}

// take takes a bulletin in and reports whether the member has made progress.
func (v *memberView) take(b bulletin) bool {
	if b.killed {
		v.earlierResends, v.earlierRedials = v.Resends(), v.Redials()
		v.resends, v.redials = 0, 0
		v.crashes++
		v.Done = false // until it says so again
		return true
	}
	moved := v.Progress != b.news.Progress
	v.Progress, v.resends, v.redials, v.heard = b.news.Progress, b.news.Resends, b.news.Redials, true
	return moved
}

func (v *memberView) Resends() uint64 { return v.earlierResends + v.resends }
func (v *memberView) Redials() uint64 { return v.earlierRedials + v.redials }

func allDone(members []memberView) bool {
	for _, member := range members {
		if !member.Done {
			return false
		}
	}
	return true
}

// totals are the members' numbers together.
type totals struct {
	signed, exchanges, crashes int // signed: by the member that is furthest behind
	resends, redials           uint64
}

func total(members []memberView) totals {
	t := totals{signed: members[0].Signatures}
	for _, member := range members {
		t.signed = min(t.signed, member.Signatures)
		t.exchanges += member.Answered
		t.crashes += member.crashes
		t.resends += member.Resends()
		t.redials += member.Redials()
	}
	return t
}

// result is how the demonstration ended.
type result struct {
	options demoOptions
	members []memberView
	report  committee.Report
	took    time.Duration
}

// display shows the demonstration: as a table, as lines or as JSON.
type display interface {
	interval() time.Duration // between two calls of progress
	progress(members []memberView) error
	result(result) error
}
