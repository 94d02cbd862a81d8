package programs

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// late is a context whose time is over just when a program has ended.
type late struct{ context.Context }

func (late) Err() error { return context.DeadlineExceeded }

func TestAProgramThatEndsAtItsTimeLimitHasEnded(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]result{
		"echo -n well":            {output: []byte("well")},
		"echo -n never; exit 100": {output: []byte("never"), reject: true},
	} {
		got := run(late{t.Context()}, Program{Command: script(t, dir, text)}, nil, dir, nil, 1000, func(int) {})
		if got.err != nil || got.reject != want.reject || string(got.output) != string(want.output) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestALaneThatNoEnvironmentCanHoldIsMadePrintable(t *testing.T) {
	b := newBench(t, `echo -n "$PARLEY_LANE"`, Program{Attempts: 1})
	e := b.request(1, "")
	e.Lane = "a\x00b\nc\xffd\u0085é"
	b.offer(e)
	select {
	case got := <-b.node.ends:
		if want := "reply a\uFFFDb\uFFFDc\uFFFDd\uFFFDé"; got != want {
			t.Errorf("it ended as %q, want %q", got, want)
		}
	case <-b.dead:
		t.Errorf("it is a dead letter: %+v", b.DeadLetters())
	}
}

func TestAReasonIsCutBetweenItsCharacters(t *testing.T) {
	d := &deadLetters{path: filepath.Join(t.TempDir(), deadLettersFile)}
	if err := d.add(DeadLetter{Reason: "a" + strings.Repeat("é", maxWhy)}); err != nil {
		t.Fatal(err)
	}
	if got, want := d.letters[0].Reason, "a"+strings.Repeat("é", (maxWhy-1)/2); got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
}
