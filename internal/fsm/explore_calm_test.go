package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// calmBound bounds the moves within which everything ends once nothing disturbs
// the two any more.
const calmBound = 400

// calm lets everything go on without any fault: what is on its way arrives, the
// applications answer and commit, operators renew what has halted, and only when
// nothing else is left to do the first timer of both fires. It returns the forms
// it went through, and how many moves it took until everything had ended; ended
// says of a form that it is known to end.
func (d *duo) calm(cl *cloner, f *former, ended func(form []byte) bool) (forms [][]byte, steps int) {
	c := d.copied()
	c.left = budget{}
	for steps = range calmBound {
		form := c.form(f)
		if c.blamed && !c.plan.stubborn || ended(form) {
			return forms, steps
		}
		forms = append(forms, bytes.Clone(form))
		mv, ok := c.calmMove()
		if !ok {
			if left := c.unended(); left != "" {
				d.fail("nothing goes on, and not everything has ended: %s", left)
			}
			return forms, steps
		}
		c.note("calm: %v", mv)
		c.does(mv, cl)
		c.settle()
		if c.failure == "" {
			for i := range c.sides {
				if broken := c.sides[i].m.broken(); broken != "" {
					c.fail("%s contradicts itself: %s", d.names[i], broken)
				}
			}
		}
		if c.failure != "" {
			d.fail("once all is calm: %s", c.failure)
			return forms, steps
		}
	}
	d.fail("not everything ends within %d moves once all is calm: %s", calmBound, c.unended())
	return forms, calmBound
}

// calmMove is what happens next when nothing disturbs: the first move that isn't
// a timer, else the timer that is due first.
func (d *duo) calmMove() (move, bool) {
	d.left = budget{renewals: 1}
	all := d.moves(nil)
	if len(all) > 0 {
		return all[0], true
	}
	first := -1
	for i, h := range d.sides {
		if !h.deadline.IsZero() && (first < 0 || h.deadline.Sub(h.now) < d.sides[first].deadline.Sub(d.sides[first].now)) {
			first = i
		}
	}
	if first < 0 || d.unended() == "" {
		return move{}, false
	}
	d.left.timers[first] = 1
	return move{kind: timerFires, side: int8(first)}, true
}

// unended is what hasn't ended; empty when all has.
func (d *duo) unended() string {
	var left []string
	for e := range d.plan.asks {
		ask := d.asks[e]
		if !ask.made {
			left = append(left, fmt.Sprintf("exchange %d isn't made", e))
		}
	}
	for i, h := range d.sides {
		for _, s := range h.m.Exchanges() {
			if s.Responder != Refused { // of which the operator hears, and nobody else
				left = append(left, fmt.Sprintf("%s has exchange %d, %s", d.names[i], exchange(s.Name), standing(s)))
			}
		}
	}
	slices.Sort(left)
	return strings.Join(left, "; ")
}

// standing is where an exchange stands in its role.
func standing(s Summary) string {
	if s.Dialer != 0 {
		return s.Dialer.String()
	}
	return s.Responder.String()
}
