package fsm

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExploreCopiesShareNothing: along a way through an exploration a copy is the
// same as its machine, and does the same; what one does the other doesn't notice.
func TestExploreCopiesShareNothing(t *testing.T) {
	p := &plan{asks: sameLane, left: budget{crashes: sides{1, 1}, breaks: 1, timers: sides{2, 2}, cancels: 1}}
	cl, f := newCloner(), newFormer()
	for start := range 40 {
		d := newDuo(p)
		d.own = [2]bool{}
		for step := range 60 {
			all := d.moves(nil)
			if len(all) == 0 {
				break
			}
			mv := all[(7*start+3*step+start*step)%len(all)]
			before := bytes.Clone(d.form(f))
			views := [2][]string{d.sides[0].m.view(), d.sides[1].m.view()}
			one, other := d.after(mv, cl), d.after(mv, cl)
			if !bytes.Equal(d.form(f), before) || !cmp.Equal(views, [2][]string{d.sides[0].m.view(), d.sides[1].m.view()}) {
				t.Fatalf("%v changes the state that it was made in", mv)
			}
			if form := bytes.Clone(one.form(f)); !bytes.Equal(form, other.form(f)) {
				t.Fatalf("%v leads to two states", mv)
			}
			for i := range d.sides {
				if diff := cmp.Diff(one.sides[i].m.view(), other.sides[i].m.view()); diff != "" {
					t.Fatalf("%v leads to two states:\n%s", mv, diff)
				}
				if broken := one.sides[i].m.broken(); broken != "" {
					t.Fatalf("after %v: %s", mv, broken)
				}
			}
			d = one
		}
	}
}

// TestExploreFormsOfStatesThatBehaveAlike: two ways that differ in nothing but the
// numbers of connections and streams end in one form.
func TestExploreFormsOfStatesThatBehaveAlike(t *testing.T) {
	p := &plan{asks: single, left: budget{breaks: 2}}
	cl, f := newCloner(), newFormer()
	ended := func(breaks int) []byte {
		d := newDuo(p)
		d.own = [2]bool{}
		d = d.after(move{kind: makeRequest}, cl)
		for range breaks {
			d = d.after(move{kind: dialSucceeds}, cl)
			d = d.after(move{kind: connectionBreaks}, cl)
			d = d.after(move{kind: connectionEnds, side: 1}, cl)
			d = d.after(move{kind: connectionEnds}, cl)
			d = d.after(move{kind: timerFires}, cl)
		}
		d = d.after(move{kind: dialSucceeds}, cl)
		for range 2 {
			d = d.after(move{kind: frameArrives, side: 1}, cl)
		}
		d.left = budget{}
		return bytes.Clone(d.form(f))
	}
	if bytes.Equal(ended(0), ended(1)) {
		t.Error("a request that was sent twice is the same as one that was sent once")
	}
	if !bytes.Equal(ended(8), ended(9)) {
		t.Error("the numbers of connections that are gone count")
	}
}
