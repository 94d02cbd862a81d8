package allowlist_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"pgregory.net/rapid"

	"github.com/parley-p2p/parley/allowlist"
)

// deed is something that an operator or the program does.
type deed struct {
	what   string
	listed []string // whom it is about
}

var deeds = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed {
	what := rapid.SampledFrom([]string{"edit", "edit badly", "delete the file", "add", "remove", "save", "wait", "wait"}).Draw(t, "what")
	listed := slices.DeleteFunc(slices.Clone(names[1:]), func(string) bool { return rapid.Bool().Draw(t, "left out") })
	return deed{what, listed}
}), 1, 20)

// TestFollowedListIsWhatItShouldBe does anything in any order, and compares the
// list with what the package comment says of it.
func TestFollowedListIsWhatItShouldBe(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		todo := deeds.Draw(rt, "deeds")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = play(t, todo) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// play does the deeds, and says what was wrong with the list.
func play(t *testing.T, todo []deed) (wrong string) {
	s := &scene{t: t, path: filepath.Join(t.TempDir(), "allow.toml"), events: make(chan fsnotify.Event), failures: make(chan error)}
	s.write(s.peers("alice"))
	list, err := allowlist.FollowWith(s.path, func() (allowlist.Watcher, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	s.list = list
	defer list.Close()

	listed := []string{"alice"}                        // those who should be
	content, taken := read(t, s.path), read(t, s.path) // of the file, and what the list took of it last
	good := true                                       // the file can be taken over
	for _, d := range append(todo, deed{what: "wait"}) {
		switch d.what {
		case "edit":
			content, good = s.peers(d.listed...), true
			s.edit(content)
		case "edit badly":
			content, good = s.peers(d.listed...)+"[[peer]", false
			s.edit(content)
		case "delete the file":
			content, good = "gone", false
			_ = os.Remove(s.path) // or it is gone already
			s.events <- fsnotify.Event{}
		case "add":
			for _, name := range d.listed {
				if err := list.Add(member(t, int64(slices.Index(names, name)), name)); err != nil {
					t.Fatal(err)
				}
				listed = append(slices.DeleteFunc(listed, func(n string) bool { return n == name }), name)
			}
		case "remove":
			for _, name := range d.listed {
				list.Remove(peerID(t, int64(slices.Index(names, name))))
			}
			listed = slices.DeleteFunc(listed, func(n string) bool { return slices.Contains(d.listed, n) })
		case "save":
			if err := list.Save(s.path); err != nil {
				t.Fatal(err)
			}
			content, good = read(t, s.path), true
			taken = content
			s.events <- fsnotify.Event{}
		case "wait":
			s.passes(5 * time.Second)
			if good && content != taken {
				taken = content
				listed = slices.DeleteFunc(slices.Clone(names[1:]), func(n string) bool { return !strings.Contains(content, "'"+n+"'") })
			}
			if trouble := list.Trouble(); (trouble == nil) != good {
				return fmt.Sprintf("the trouble is %v", trouble)
			}
		}
		slices.Sort(listed)
		if got, want := s.listed(), strings.Join(listed, " "); got != want {
			return fmt.Sprintf("after %s %v listed are %q, want %q", d.what, d.listed, got, want)
		}
	}
	return ""
}

func read(t *testing.T, path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
