package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-p2p/parley"
)

// findings are what the members' handlers told their operators, put together.
type findings struct {
	gathering *gathering
	strangers int            // connections refused that came from the strangers' places
	rules     map[string]int // that it broke, and how often
	keptOut   time.Duration  // the longest that it was, for it
	besides   map[string]int // what else is told of it: limits that it reached, mostly
	blamed    map[string]int // members of the committee: who, by whom, for what, and how often
}

func newFindings(g *gathering) findings {
	return findings{gathering: g, rules: map[string]int{}, besides: map[string]int{}, blamed: map[string]int{}}
}

// take takes in what the handler of member by told.
func (f *findings) take(by int, a alert) {
	member := slices.Index(f.gathering.Members, a.Peer)
	switch a.Kind {
	case parley.StrangerRefused, parley.ConnectionLimitHit:
		if strings.HasPrefix(a.Address, strangersAddress) {
			f.strangers += a.Count
		}
	case parley.ProtocolViolation, parley.IdentityMismatch, parley.PeerHalted, parley.PeerDiffers, parley.PeerLostJournal:
		if member >= 0 {
			f.blamed[fmt.Sprintf("%s by %s: %s (%s)", memberName(member), memberName(by), a.Kind, a.Text)] += a.Count
			return
		}
		if a.Kind != parley.ProtocolViolation {
			f.besides[a.Kind.String()] += a.Count
			return
		}
		f.rules[a.Text] += a.Count
		f.keptOut = max(f.keptOut, a.KeptOut)
	case parley.PeerLimited:
		if member < 0 {
			f.besides[a.Text] += a.Count
		}
	}
}

// chaosRows are what was done to the session.
func (r *result) chaosRows() []row {
	var kinds []string
	for _, kind := range faultKinds {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, r.faults[kind]))
	}
	rows := []row{{"connections disturbed", fmt.Sprint(sum(r.faults)), strings.Join(kinds, ", ")}}
	for _, a := range r.absences {
		came := "not put back before the end"
		if a.back {
			came = fmt.Sprintf("off all lists for %.1f s, and back", a.lasts.Seconds())
		}
		rows = append(rows, row{memberName(a.member), "unlisted", came})
	}
	f := &r.findings
	rows = append(rows,
		row{"strangers", fmt.Sprint(r.strangers.connections), fmt.Sprintf("connections tried, %d told to the operators", f.strangers)},
		row{"strangers answered", zero(r.strangers.answers), ""},
		row{"a mad peer", fmt.Sprint(r.mad.frames), fmt.Sprintf("frames sent on %d connections", r.mad.connections)},
		row{"rules it broke", fmt.Sprint(sum(f.rules)), ""})
	if len(f.rules) > 0 {
		rows[len(rows)-1].remark = fmt.Sprintf("kept out each time, for longer, at last for %v", f.keptOut.Round(time.Second))
	}
	for _, rule := range most(f.rules) {
		rows = append(rows, row{"", fmt.Sprint(f.rules[rule]), rule})
	}
	for _, what := range most(f.besides) {
		rows = append(rows, row{"", fmt.Sprint(f.besides[what]), what})
	}
	return append(rows, row{"honest members blamed", zero(sum(f.blamed)), ""})
}

// troubles is what was done so far, on one line.
func (v *view) troubles() string {
	text := fmt.Sprintf("disturbed %d  strangers %d  rules broken %d", sum(v.faults), v.findings.strangers, sum(v.findings.rules))
	if n := len(v.absences); n > 0 && !v.absences[n-1].back {
		text += "  unlisted " + memberName(v.absences[n-1].member)
	}
	return text
}

// sum is how much was counted in all.
func sum[K comparable](counts map[K]int) (all int) {
	for _, count := range counts {
		all += count
	}
	return all
}

// most are the names of what was counted, the most frequent first.
func most(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
}
