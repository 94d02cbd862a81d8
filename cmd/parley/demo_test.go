package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

// The demonstration starts its own binary: in a test, this one. A data race in a
// member then ends it, and by that the demonstration.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == newDemoMember().Name() {
		main()
	}
	os.Setenv("GORACE", "halt_on_error=1")
	testscript.Main(withoutLeaks{m}, map[string]func(){"parley": main})
}

// withoutLeaks are tests after which no goroutine may be left.
type withoutLeaks struct{ *testing.M }

func (m withoutLeaks) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func demo(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	directory, err := os.MkdirTemp("", "parley-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() { // what a demonstration leaves then is worth a look
			t.Logf("kept in %s", directory)
		} else if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", directory)
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs(append([]string{"demo"}, args...))
	err = root.ExecuteContext(t.Context())
	left, globErr := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if globErr != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v %v", left, globErr)
	}
	return out.String(), err
}

func TestDemoSigns(t *testing.T) {
	output, err := demo(t, "--nodes", "3", "--transactions", "3", "--message-size", "300", "--seed", "5")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A committee of 3 signs 3 transactions in 3 programs, seed 5", "signed 3/3", "signatures valid            3/3"} {
		if !strings.Contains(output, want) {
			t.Errorf("%q isn't in the output:\n%s", want, output)
		}
	}
	if strings.Contains(output, "\x1b") {
		t.Errorf("colours without a terminal: %q", output)
	}
}

// resultOf is the last line of a demonstration's output, with --json.
func resultOf(t *testing.T, output string) jsonResult {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output), "\n")
	var got jsonResult
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDemoSignsThroughCrashes(t *testing.T) {
	output, err := demo(t, "--nodes", "3", "--transactions", "6", "--seed", "7", "--crash", "--json")
	if err != nil {
		t.Fatal(err)
	}
	got := resultOf(t, output)
	if got.Type != "result" || !got.OK || got.SignaturesValid != 6 || got.Lost != 0 || got.AppliedTwice != 0 {
		t.Errorf("got %+v", got)
	}
	if least := 3 * (killsPerMember - 1); got.Crashes < least {
		t.Errorf("%d crashes, want at least %d: the test shows little", got.Crashes, least)
	}
}

func TestDemoSignsThroughChaos(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all addresses of 127.0.0.0/8")
	}
	output, err := demo(t, "--nodes", "3", "--transactions", "6", "--seed", "3", "--chaos", "--json")
	if err != nil {
		t.Fatal(err)
	}
	got := resultOf(t, output)
	if !got.OK || got.SignaturesValid != 6 || got.Lost != 0 || got.AppliedTwice != 0 || got.GivenTwice != 0 || len(got.Chaos.Blamed) != 0 {
		t.Errorf("got %+v, %+v", got, got.Chaos)
	}
	if faults := sum(got.Chaos.Links); faults < 3*faultsPerLink/2 || got.Crashes < 3*(killsPerMember-1) || len(got.Chaos.Absences) != absences {
		t.Errorf("%d faults of links, %d crashes, %d absences: the test shows little", faults, got.Crashes, len(got.Chaos.Absences))
	}
	for _, a := range got.Chaos.Absences {
		if !a.Back {
			t.Errorf("member %d was done without being put back on the lists", a.Member)
		}
	}
}

func TestDemoKeepsFiles(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "kept")
	if _, err := demo(t, "--nodes", "2", "--transactions", "1", "--keep", directory); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"committee.json", "member-1/key", "member-1/peers.toml", "member-2/state", "member-2/journal", "member-2/log"} {
		if _, err := os.Stat(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}
	_, err := demo(t, "--keep", directory)
	if exitCode(err) != 2 {
		t.Errorf("a second time in the same directory: exit code %d (%v), want 2", exitCode(err), err)
	}
}

func TestDemoEndsWhenInterrupted(t *testing.T) {
	for _, mode := range []string{"--crash=false", "--crash"} {
		ctx, stop := context.WithCancel(t.Context())
		out := cancelWriter{stop}
		root := newRoot()
		root.SetOut(out)
		root.SetArgs([]string{"demo", "--transactions", "500", mode})
		if err := root.ExecuteContext(ctx); exitCode(err) != 130 {
			t.Errorf("%s: exit code %d (%v), want 130", mode, exitCode(err), err)
		}
	}
}

// cancelWriter interrupts at the first output.
type cancelWriter struct{ cancel func() }

func (w cancelWriter) Write(p []byte) (int, error) {
	w.cancel()
	return len(p), nil
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"help"}, 0},
		{[]string{"nonsense"}, 2},
		{[]string{"journal", "nonsense"}, 2},
		{[]string{"journal", "dump", "one", "two"}, 2},
		{[]string{"doctor", "one", "two"}, 2},
		{[]string{"commit"}, 2},
		{[]string{"demo", "--nonsense"}, 2},
		{[]string{"demo", "argument"}, 2},
		{[]string{"demo", "--nodes", "1"}, 2},
		{[]string{"demo", "--nodes", "many"}, 2},
		{[]string{"demo", "--transactions", "0"}, 2},
		{[]string{"demo", "--message-size", "-1"}, 2},
	} {
		root := newRoot()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(test.args)
		if err := root.Execute(); exitCode(err) != test.want {
			t.Errorf("parley %v: exit code %d (%v), want %d", test.args, exitCode(err), err, test.want)
		}
	}
	if got := exitCode(fmt.Errorf("%w: 1 exchanges lost", errOff)); got != 3 {
		t.Errorf("an audit that found something: exit code %d, want 3", got)
	}
	if got := exitCode(interrupted("it goes on")); got != 130 {
		t.Errorf("an interrupt of what goes on: exit code %d, want 130", got)
	}
	if got := exitCode(errors.New("disk full")); got != 1 {
		t.Errorf("any other error: exit code %d, want 1", got)
	}
}

func TestSeedDrawsTheMomentsOfCrashes(t *testing.T) {
	g := &gathering{Committee: committee.Committee{Members: make([]identity.ID, 4), Transactions: 50, Programs: 8}}
	first := newKeeper(g, "", 1, 7).moments
	if again := newKeeper(g, "", 1, 7).moments; !slices.Equal(first, again) {
		t.Errorf("the same seed drew %v, then %v", first, again)
	}
	if other := newKeeper(g, "", 1, 8).moments; slices.Equal(first, other) {
		t.Errorf("another seed drew the same moments: %v", other)
	}
	if work := 2 * g.Exchanges(); !slices.IsSorted(first) || first[0] < 0 || first[len(first)-1] >= work {
		t.Errorf("moments %v aren't ascending in the %d exchanges of a member", first, work)
	}
}

func TestSeedDrawsTheChaos(t *testing.T) {
	draw := func(seed uint64) *chaos {
		g := &gathering{Committee: committee.Committee{Members: make([]identity.ID, 4), Transactions: 50, Programs: 8}, addresses: make([]string, 4)}
		c, err := newChaos(g, seed)
		if err != nil {
			t.Skip(err) // where the addresses are missing
		}
		return c
	}
	same := func(a, b *chaos) bool {
		return slices.Equal(a.absences, b.absences) && reflect.DeepEqual(a.faults, b.faults) &&
			a.assault.begins == b.assault.begins && slices.EqualFunc(a.assault.outside, b.assault.outside, programme.equal) &&
			slices.EqualFunc(a.assault.inside, b.assault.inside, programme.equal)
	}
	first := draw(7)
	if !same(first, draw(7)) {
		t.Error("the same seed drew something else")
	}
	if same(first, draw(8)) {
		t.Error("another seed drew the same")
	}
}

// equal compares behaviours by their names: functions can't be compared.
func (p programme) equal(other programme) bool {
	return slices.EqualFunc(p, other, func(a, b bout) bool { return a.attack.Name == b.attack.Name && a.lasts == b.lasts })
}

func TestCountsOutliveCrashes(t *testing.T) {
	var v memberView
	v.take(bulletin{news: memberNews{Progress: committee.Progress{Answered: 3, Done: true}, Resends: 2, Redials: 1}})
	v.take(bulletin{killed: true})
	if v.Done {
		t.Error("a killed member counts as done")
	}
	moved := v.take(bulletin{news: memberNews{Progress: committee.Progress{Answered: 3}, Resends: 5, Redials: 4}})
	if moved {
		t.Error("news of the same progress counts as progress")
	}
	if v.Resends() != 7 || v.Redials() != 5 || v.crashes != 1 {
		t.Errorf("got %d resends, %d redials, %d crashes, want 7, 5 and 1", v.Resends(), v.Redials(), v.crashes)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	g := &gathering{Committee: committee.Committee{Members: make([]identity.ID, 30), Transactions: 50, Programs: 8}}
	var out bytes.Buffer
	d := &tableDisplay{
		out: &out, options: demoOptions{nodes: 30, transactions: 50}, gathering: g, began: time.Now(),
		size: func() (int, int) { return 50, 20 },
	}
	seen := newView(g)
	seen.members[3].Progress = committee.Progress{Nonces: 50, Partials: 40, Signatures: 20, Done: true}
	for range 2 {
		if err := d.progress(seen); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if got := len(lines) / 2; got >= 20 {
		t.Errorf("%d lines on a screen of 20", got)
	}
	for _, line := range lines {
		if width := lipgloss.Width(line); width > 50 {
			t.Errorf("%d cells on a screen of 50: %q", width, line)
		}
	}
	if !strings.Contains(out.String(), fmt.Sprintf("\x1b[%dA", len(lines)/2)) {
		t.Error("the second table isn't drawn over the first")
	}
}
