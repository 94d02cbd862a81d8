package mutants

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// text is the results for a terminal.
func text(results []result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%-34s %-12s %8s %8s  built in %s\n", r.Name, r.caughtBy(), r.seed, round(r.took), round(r.built))
	}
	b.WriteString(sum(results))
	return b.String()
}

// page is the results for the manual.
func page(results []result) string {
	var b strings.Builder
	b.WriteString("# Bugs put in on purpose\n\n" +
		"Each row is a mistake that somebody could make, put into the production code while it is built (`trials/mutants`), and what of the suite\n" +
		"noticed it first. The catchers are tried in this order: the simulation of whole groups, random stories of one machine, the exploration,\n" +
		"then the tests of the package itself. So where one of the last is named, the general ones didn't see it within what they were given. The\n" +
		"time is from the start of the first catcher, those that saw nothing included; builds are not. This page is written by\n" +
		"`go test ./trials/mutants -mutants all -timeout 2h -record docs/mutants.md`.\n\n")
	b.WriteString(sum(results) + "\n")
	b.WriteString("\n| mutant | what is wrong | what it breaks | caught by | after |\n|---|---|---|---|---|\n")
	for _, r := range results {
		by := r.caughtBy()
		if r.seed != "" {
			by += ", seed " + r.seed
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Name, r.wrong, strings.TrimSuffix(r.breaks, "."), by, round(r.took))
	}
	return b.String()
}

func (r result) caughtBy() string {
	if r.by == nil {
		return "NOTHING"
	}
	return r.by.name
}

// sum is the results in a sentence.
func sum(results []result) string {
	count := map[string]int{}
	var took []time.Duration
	for _, r := range results {
		if r.by != nil {
			count[r.by.name]++
			took = append(took, r.took)
		}
	}
	if len(took) == 0 {
		return "None was caught."
	}
	slices.Sort(took)
	var by []string
	for _, c := range catchers {
		if n := count[c.name]; n > 0 {
			by = append(by, fmt.Sprintf("%s %d", c.name, n))
		}
	}
	return fmt.Sprintf("%d of %d caught (%s); half of them within %s, all within %s.",
		len(took), len(results), strings.Join(by, ", "), round(took[len(took)/2]), round(took[len(took)-1]))
}

func round(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
