package crash

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// What all tests together have tried.
var killed, reached, exchanges atomic.Int64

// side is what a ledger says, by exchange.
type side struct {
	fresh   map[string]int
	effects map[string][]string
	jobs    map[string]int // of effects, or of requests made
}

// audit compares the ledgers.
func (p *pair) audit() {
	p.t.Helper()
	asked, answered := p.auditAsker(), p.auditAnswerer()
	for id, number := range asked.jobs {
		there := answered.effects[id]
		outcome, text, _ := strings.Cut(asked.effects[id][0], "\t")
		_, given, _ := strings.Cut(strings.Join(there, ""), "\t")
		switch {
		case len(there) > 1:
			p.t.Errorf("job %d had %d effects at the answerer", number, len(there))
		case outcome == "answered" || outcome == "rejected":
			if len(there) != 1 || !strings.Contains(text, given) {
				p.t.Errorf("job %d was %s with %q; the answerer gave %q", number, outcome, text, there)
			}
		}
	}
	for id := range answered.effects {
		if _, known := asked.jobs[id]; !known {
			p.t.Errorf("%s had an effect at the answerer, and was never asked", id)
		}
	}
	exchanges.Add(int64(len(asked.jobs)))
}

func (p *pair) read(of *program) []entry {
	p.t.Helper()
	entries, _, err := readLedger(of.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return entries
}

// auditAsker sees to it that every job has ended once.
func (p *pair) auditAsker() side {
	p.t.Helper()
	s := side{map[string]int{}, map[string][]string{}, map[string]int{}}
	committed := map[string]bool{}
	names := map[int]string{}
	for _, e := range p.read(p.asker) {
		switch e.word {
		case "asked":
			number, _ := strconv.Atoi(e.more)
			if other, known := names[number]; known && other != e.id {
				p.t.Errorf("job %d is %s and %s", number, other, e.id)
			}
			s.jobs[e.id], names[number] = number, e.id
		case "first":
			s.fresh[e.id]++
			fallthrough
		case "again":
			if committed[e.id] {
				p.t.Errorf("the end of job %d came after it was committed", s.jobs[e.id])
			}
			if had := s.effects[e.id]; len(had) > 0 && had[0] != e.more {
				p.t.Errorf("job %d ended with %q, and again with %q", s.jobs[e.id], had[0], e.more)
			}
		case "effect":
			s.effects[e.id] = append(s.effects[e.id], e.more)
		case "committed":
			committed[e.id] = true
		}
	}
	for id, number := range s.jobs {
		if len(s.effects[id]) != 1 || s.fresh[id] > 1 {
			p.t.Errorf("job %d has ended %d times; its end came %d times as new", number, len(s.effects[id]), s.fresh[id])
			s.effects[id] = append(s.effects[id], "lost\t")
			continue
		}
		outcome, _, _ := strings.Cut(s.effects[id][0], "\t")
		if want := drawJob(*seed, number).outcomes(); !slices.Contains(want, outcome) {
			p.t.Errorf("job %d was %s, want %v", number, outcome, want)
		}
	}
	if len(s.effects) != len(s.jobs) {
		p.t.Errorf("%d jobs have ended, %d were asked", len(s.effects), len(s.jobs))
	}
	return s
}

// auditAnswerer sees to it that requests came in order and once.
func (p *pair) auditAnswerer() side {
	p.t.Helper()
	s := side{map[string]int{}, map[string][]string{}, map[string]int{}}
	answered, last := map[string]bool{}, map[int]int{}
	for _, e := range p.read(p.answerer) {
		switch e.word {
		case "first":
			s.fresh[e.id]++
			fallthrough
		case "again":
			if answered[e.id] {
				p.t.Errorf("the request of job %s came after it was answered", e.more)
			}
		case "effect":
			s.effects[e.id] = append(s.effects[e.id], e.more)
			digits, _, _ := strings.Cut(e.more, "\t")
			number, err := strconv.Atoi(digits)
			if err != nil {
				p.t.Fatal(err)
			}
			if before, some := last[number%lanes]; some && number <= before {
				p.t.Errorf("job %d came after job %d of the same lane", number, before)
			}
			last[number%lanes] = number
		case "answered", "abandoned":
			answered[e.id] = true
		}
	}
	for id, fresh := range s.fresh {
		if fresh > 1 {
			p.t.Errorf("the request %s came %d times as new", id, fresh)
		}
	}
	return s
}
