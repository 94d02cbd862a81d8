package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-p2p/parley/examples/committee"
)

// bulletin is what is heard of a member, or of what was done to it.
type bulletin struct {
	member  int
	news    memberNews
	killed  bool      // and nothing else
	fault   faultKind // came on a link; and nothing else
	listing *listing  // the member's, in the lists of all others; and nothing else
}

// listing is a member taken off the lists, or put back.
type listing struct {
	away  bool
	lasts time.Duration // of the absence
}

// view is what is known of the session.
type view struct {
	members  []memberView
	faults   map[faultKind]int
	absences []absenceView
	findings findings
}

type absenceView struct {
	member int
	lasts  time.Duration
	back   bool
}

func newView(g *gathering) *view {
	return &view{members: make([]memberView, len(g.Members)), faults: map[faultKind]int{}, findings: newFindings(g)}
}

// take takes a bulletin in and reports whether a member has made progress.
func (v *view) take(b bulletin) bool {
	switch {
	case b.fault != "":
		v.faults[b.fault]++
		return false
	case b.listing != nil && b.listing.away:
		v.absences = append(v.absences, absenceView{member: b.member, lasts: b.listing.lasts})
		return false
	case b.listing != nil:
		v.absences[len(v.absences)-1].back = true
		return false
	}
	for _, a := range b.news.Alerts {
		v.findings.take(b.member, a)
	}
	return v.members[b.member].take(b)
}

// memberView is what is known of a member, over all its runs.
type memberView struct {
	committee.Progress
	heard            bool
	resends, redials uint64 // in this run; what a member did after its last news is lost with it
	earlierResends   uint64
	earlierRedials   uint64
	crashes          int
	broken           int // promises of its handler
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
	v.broken += b.news.Broken
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
	broken                     int
	resends, redials           uint64
}

func total(members []memberView) totals {
	t := totals{signed: members[0].Signatures}
	for _, member := range members {
		t.signed = min(t.signed, member.Signatures)
		t.exchanges += member.Answered
		t.crashes += member.crashes
		t.broken += member.broken
		t.resends += member.Resends()
		t.redials += member.Redials()
	}
	return t
}

// result is how the demonstration ended.
type result struct {
	options demoOptions
	view
	report committee.Report
	took   time.Duration
	// strangers and mad are what attackers did to the members.
	strangers, mad onslaught
}

// Err is nil if nothing is off.
func (r *result) Err() error {
	off := r.report.Err()
	if broken := total(r.members).broken; broken > 0 {
		off = errors.Join(off, fmt.Errorf("%d events given twice, or again without a mark: the members' logs name them", broken))
	}
	if r.strangers.answers > 0 {
		off = errors.Join(off, fmt.Errorf("strangers got %d answers", r.strangers.answers))
	}
	for _, blamed := range most(r.findings.blamed) {
		off = errors.Join(off, fmt.Errorf("an honest member is blamed: %s, %d times", blamed, r.findings.blamed[blamed]))
	}
	return off
}

// display shows the demonstration: as a table, as lines or as JSON.
type display interface {
	interval() time.Duration // between two calls of progress
	progress(*view) error
	result(*result) error
}
