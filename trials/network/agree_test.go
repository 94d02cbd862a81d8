package network

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
)

// agree checks the ledgers of all nodes, against one another, and returns how many
// exchanges there were.
func agree(t testing.TB, dirs []string, lanes int, mayAlarm ...parley.Kind) (exchanges int) {
	t.Helper()
	a := agreement{t: t, lanes: lanes, text: map[string]string{}, count: map[string]map[string]int{}}
	for _, dir := range dirs {
		lines, _, err := readLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		a.read(lines, mayAlarm)
	}
	for id, text := range a.text {
		a.ended(id, text)
	}
	if extra := len(a.count[served]) - len(a.text); extra != 0 {
		t.Errorf("%d requests were served that nobody made", extra)
	}
	return len(a.text)
}

type agreement struct {
	t     testing.TB
	lanes int
	text  map[string]string         // of each request, by its exchange
	count map[string]map[string]int // by word and exchange
}

// read goes through the ledger of one node in its order.
func (a *agreement) read(lines [][3]string, mayAlarm []parley.Kind) {
	a.t.Helper()
	over, latest := map[string]bool{}, map[string]int{}
	for _, entry := range lines {
		word, id, text := entry[0], entry[1], entry[2]
		if word == alarmed {
			a.alarm(text, mayAlarm)
			continue
		}
		if a.count[word] == nil {
			a.count[word] = map[string]int{}
		}
		a.count[word][id]++
		switch word {
		case asked:
			if before, known := a.text[id]; known && before != text {
				a.t.Errorf("%s is request %q and %q", id, before, text)
			}
			a.text[id] = text
		case gotReply, gotReply2, gotAsked, gotAsked2:
			if over[id] {
				a.t.Errorf("%s came, as %q, after it was committed or answered", id, word)
			}
		case committed, answered:
			over[id] = true
		case served:
			a.inOrder(id, text, latest)
		}
	}
}

// alarm fails unless the alarm was to be expected: whoever is honest is never
// blamed for the line between.
func (a *agreement) alarm(text string, mayAlarm []parley.Kind) {
	a.t.Helper()
	for _, kind := range mayAlarm {
		if strings.HasPrefix(text, kind.String()) {
			return
		}
	}
	a.t.Errorf("alarm: %s", text)
}

// inOrder checks that a request is the next of its lane. Latest has the numbers of
// the last ones.
func (a *agreement) inOrder(id, text string, latest map[string]int) {
	a.t.Helper()
	var of string
	var number int
	if _, err := fmt.Sscan(text, &of, &number); err != nil {
		a.t.Errorf("request %q: %v", text, err)
	}
	dialer, _, _ := strings.Cut(id, "/")
	lane := fmt.Sprint(dialer, " ", number%a.lanes)
	want := number % a.lanes
	if before, some := latest[lane]; some {
		want = before + a.lanes
	}
	if number != want {
		a.t.Errorf("request %d of %s came where %d was next in its lane", number, dialer, want)
	}
	latest[lane] = number
}

// ended checks that an exchange ended as it should, on both sides.
func (a *agreement) ended(id, text string) {
	a.t.Helper()
	for word, limits := range map[string][2]int{
		served: {1, 1}, replied: {1, 1}, // lost, or twice
		gotAsked: {0, 1}, gotReply: {0, 1},
	} {
		if n := a.count[word][id]; n < limits[0] || n > limits[1] {
			a.t.Errorf("request %q: the ledgers have %q of it %d times", text, word, n)
		}
	}
}
