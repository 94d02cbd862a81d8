package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), File)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgramsAreTablesOfTheFile(t *testing.T) {
	path := written(t, `
[[program]]
command = "./one"
[[program]]
lane = "sign-"
command = ["./two", "argument"]
time_limit = "90s"
`)
	// What a program is told isn't taken for settings when it calls parley.
	s, _, err := Read(path, []string{"PARLEY_PEER=x", "PARLEY_NAME=x", "PARLEY_LANE=x", "PARLEY_EXCHANGE=x", "PARLEY_DEADLINE=", "PARLEY_REDELIVERED=1"}, nil)
	if err != nil || len(s.Programs) != 2 {
		t.Fatalf("%d programs (%v)", len(s.Programs), err)
	}
	for i, want := range [][]string{{"./one"}, {"./two", "argument"}} {
		if got, err := s.Programs[i].CommandLine(); err != nil || !slices.Equal(got, want) {
			t.Errorf("the command is %q (%v), want %q", got, err, want)
		}
	}
	if two := s.Programs[1]; two.Lane != "sign-" || time.Duration(two.TimeLimit) != 90*time.Second {
		t.Errorf("the second is %+v", two)
	}
}

func TestAProgramThatIsWrittenWronglyIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"[[program]]\nlane = \"x\"\n":                        `program 1, lane "x": command`,
		"[[program]]\ncommand = [\"./one\", 2]\n":            "command: want a path",
		"[[program]]\ncommand = \"./one\"\nconcurency = 2\n": "line 3",
		"[[program]]\ncommand = \"./one\"\ntime_limit = 5\n": "time_limit",
	} {
		if _, _, err := Read(written(t, text), nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want one that says %q", text, err, says)
		}
	}
}

func TestADurationWithoutItsUnitIsRefused(t *testing.T) {
	if _, _, err := Read(written(t, "[timeouts]\nidle = 30\n"), nil, nil); err == nil || !strings.Contains(err.Error(), "timeouts.idle: write a duration with its unit") {
		t.Errorf("30 for 30s: %v", err)
	}
}

func TestTheFileOfANewNodeCanBeRead(t *testing.T) {
	if _, _, err := Read(written(t, Template("127.0.0.1:0")), nil, nil); err != nil {
		t.Error(err)
	}
}
