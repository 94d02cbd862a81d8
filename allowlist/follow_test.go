package allowlist_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/parley-p2p/parley/allowlist"
)

// scene is a file that a list follows, on virtual time. What happens in the
// directory is said by the test.
type scene struct {
	t        *testing.T
	path     string
	list     *allowlist.List
	told     *heard[string] // changes, as watch has them
	troubles heard[error]
	events   chan fsnotify.Event
	failures chan error
	aimed    atomic.Pointer[[]string]
	aimFails atomic.Pointer[string]
}

func (s *scene) Aim(directories ...string) error {
	s.aimed.Store(&directories)
	if reason := s.aimFails.Load(); reason != nil {
		return errors.New(*reason)
	}
	return nil
}
func (s *scene) Events() <-chan fsnotify.Event { return s.events }
func (s *scene) Errors() <-chan error          { return s.failures }
func (s *scene) Close() error                  { return nil }

// following plays a scene that begins with a file of alice and bob.
func following(t *testing.T, play func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, path: filepath.Join(t.TempDir(), "allow.toml"), events: make(chan fsnotify.Event), failures: make(chan error)}
		s.write(s.peers("alice", "bob"))
		list, err := allowlist.FollowWith(s.path, func() (allowlist.Watcher, error) { return s, nil })
		if err != nil {
			t.Fatal(err)
		}
		s.list = list
		s.told, _ = watch(list)
		list.OnTrouble(s.troubles.note)
		s.passes(time.Second)
		play(s)
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	})
}

// names has the number of each peer in these tests.
var names = []string{"nobody", "alice", "bob", "carol"}

// peers is the content of a file.
func (s *scene) peers(listed ...string) string {
	var content strings.Builder
	for _, name := range listed {
		fmt.Fprintf(&content, "[[peer]]\nid = '%v'\nname = '%s'\n", peerID(s.t, int64(slices.Index(names, name))), name)
	}
	return content.String()
}

// write writes the file without a word of it.
func (s *scene) write(content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// edit writes the file and lets the watcher tell of it.
func (s *scene) edit(content string) {
	s.t.Helper()
	s.write(content)
	s.events <- fsnotify.Event{}
}

func (s *scene) passes(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// names are those on the list.
func (s *scene) listed() string {
	var listed []string
	for _, m := range s.list.Members() {
		listed = append(listed, m.Name)
	}
	return strings.Join(listed, " ")
}

func (s *scene) expectListed(want string) {
	s.t.Helper()
	if got := s.listed(); got != want {
		s.t.Errorf("listed are %q, want %q", got, want)
	}
}

// expectTroubles compares all that was told with one text for each, which it
// has to hold.
func (s *scene) expectTroubles(says ...string) {
	s.t.Helper()
	got := s.troubles.all()
	if len(got) != len(says) {
		s.t.Fatalf("told %v, want %q", got, says)
	}
	for i, text := range says {
		if !strings.Contains(got[i].Error(), text) {
			s.t.Errorf("trouble %d is %v, want %q", i+1, got[i], text)
		}
	}
}

func TestEditIsTakenOver(t *testing.T) {
	following(t, func(s *scene) {
		var changes heard[allowlist.Change]
		s.list.OnChange(changes.note)
		s.edit(s.peers("bob", "carol"))
		before := time.Now()
		s.passes(time.Second)
		expect(t, s.told, "+carol -alice")
		change := changes.all()[0]
		if took := change.Time.Sub(before); change.By != s.path || took < 0 || took > 100*time.Millisecond {
			t.Errorf("by %s after %v", change.By, took)
		}
		s.edit("# a word for the reader\n" + s.peers("bob", "carol"))
		s.passes(time.Second)
		expect(t, s.told, "+carol -alice") // nobody came or went
		s.expectTroubles()
	})
}

func TestLookWaitsUntilTheEditorIsDone(t *testing.T) {
	following(t, func(s *scene) {
		for range 5 { // every step is a file that could be taken over
			s.edit(s.peers("alice"))
			s.passes(80 * time.Millisecond)
			s.edit(s.peers("alice", "carol"))
			s.passes(80 * time.Millisecond)
		}
		expect(t, s.told)
		s.passes(20 * time.Millisecond)
		expect(t, s.told, "+carol -bob")
	})
}

func TestBusyDirectoryPutsTheLookOffForASecondAtMost(t *testing.T) {
	following(t, func(s *scene) {
		s.edit(s.peers("alice"))
		for range 11 {
			s.passes(90 * time.Millisecond)
			s.events <- fsnotify.Event{}
		}
		s.passes(10 * time.Millisecond)
		expect(t, s.told, "-bob")
	})
}

func TestBadEditKeepsTheList(t *testing.T) {
	following(t, func(s *scene) {
		s.edit(s.peers("alice") + "adress = 'a:1'\n")
		s.passes(5 * time.Minute)
		s.expectTroubles("adress")
		var wrong *allowlist.FileError
		if err := s.troubles.all()[0]; !errors.As(err, &wrong) || wrong.Line != 4 || wrong.Path != s.path {
			t.Errorf("it names the wrong place: %v", err)
		}
		if err := s.list.Trouble(); !errors.As(err, &wrong) {
			t.Errorf("what stands is %v", err)
		}
		s.edit(s.peers("alice") + "id = 5\n")
		s.passes(time.Second)
		s.expectTroubles("adress", "allow.toml:4")
		s.expectListed("alice bob")

		s.edit(s.peers("alice", "carol"))
		s.passes(time.Second)
		expect(t, s.told, "+carol -bob")
		s.expectTroubles("adress", "allow.toml:4")
		if err := s.list.Trouble(); err != nil {
			t.Errorf("it is over: %v", err)
		}
	})
}

func TestTroubleThatComesBackIsToldAgain(t *testing.T) {
	following(t, func(s *scene) {
		for range 2 {
			s.edit("[[peer]")
			s.passes(time.Second)
			s.edit(s.peers("alice", "bob"))
			s.passes(time.Second)
		}
		s.expectTroubles("]]", "]]")
		expect(t, s.told)
	})
}

func TestFileThatIsGoneKeepsTheList(t *testing.T) {
	following(t, func(s *scene) {
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
		s.events <- fsnotify.Event{}
		s.passes(5 * time.Minute)
		s.expectTroubles("no such file")
		if err := s.troubles.all()[0]; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if err := os.Mkdir(s.path, 0o700); err != nil {
			t.Fatal(err)
		}
		s.events <- fsnotify.Event{}
		s.passes(time.Second)
		s.expectTroubles("no such file", "not a regular file")
		s.expectListed("alice bob")
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
		s.edit(s.peers("alice", "bob"))
		s.passes(time.Second)
		expect(t, s.told)
		if err := s.list.Trouble(); err != nil {
			t.Errorf("it is over: %v", err)
		}
	})
}

func TestTruncatedFileShutsNobodyOut(t *testing.T) {
	following(t, func(s *scene) {
		s.edit("")
		s.passes(1900 * time.Millisecond)
		s.edit("# peers of")
		s.passes(190 * time.Millisecond) // the first look is a while behind the event
		s.edit(s.peers("alice", "bob", "carol"))
		s.passes(time.Minute)
		expect(t, s.told, "+carol")
		s.expectTroubles()
	})
}

// However often a file was seen without a peer: only all the while counts.
func TestDoubtAboutAnEmptyFileBeginsAnew(t *testing.T) {
	following(t, func(s *scene) {
		for _, meanwhile := range []func(){
			func() { s.edit(s.peers("alice") + "[[peer]") },
			func() { s.edit(s.peers("alice", "bob")) },
			func() {
				if err := os.Remove(s.path); err != nil {
					t.Fatal(err)
				}
				s.events <- fsnotify.Event{}
			},
		} {
			s.edit("")
			s.passes(1500 * time.Millisecond)
			meanwhile()
			s.passes(1500 * time.Millisecond)
		}
		s.edit("")
		s.passes(2099 * time.Millisecond)
		expect(t, s.told)
		s.passes(time.Millisecond)
		expect(t, s.told, "-alice -bob")

		if err := s.list.Add(member(t, 3, "carol")); err != nil {
			t.Fatal(err)
		}
		s.edit("# nobody")
		s.passes(2099 * time.Millisecond)
		expect(t, s.told, "-alice -bob", "+carol")
		s.passes(time.Millisecond)
		expect(t, s.told, "-alice -bob", "+carol", "-carol")
	})
}

func TestFileThatStaysEmptyEmptiesTheList(t *testing.T) {
	following(t, func(s *scene) {
		s.edit("")
		s.passes(2099 * time.Millisecond)
		s.expectListed("alice bob")
		s.passes(time.Millisecond)
		expect(t, s.told, "-alice -bob")
		s.edit(s.peers("bob"))
		s.passes(time.Second)
		expect(t, s.told, "-alice -bob", "+bob")
	})
}

func TestFileIsLookedAtWithoutAWord(t *testing.T) {
	following(t, func(s *scene) {
		s.write(s.peers("alice"))
		s.passes(30 * time.Second)
		expect(t, s.told, "-bob")
	})
}

func TestChangesOfTheProgramLastUntilTheFileChanges(t *testing.T) {
	following(t, func(s *scene) {
		if err := s.list.Add(member(t, 3, "carol")); err != nil {
			t.Fatal(err)
		}
		s.events <- fsnotify.Event{} // something else in the directory
		s.passes(time.Minute)
		s.expectListed("alice bob carol")
		s.edit(s.peers("alice"))
		s.passes(time.Second)
		expect(t, s.told, "+carol", "-bob -carol")
	})
}

func TestSavedFileSaysNothingNew(t *testing.T) {
	following(t, func(s *scene) {
		stale := s.peers("alice")
		if err := s.list.Add(member(t, 3, "carol")); err != nil {
			t.Fatal(err)
		}
		s.edit("[[peer]") // and is overwritten
		s.passes(time.Second)
		if err := s.list.Save(s.path); err != nil {
			t.Fatal(err)
		}
		s.list.Remove(peerID(t, 2))
		s.events <- fsnotify.Event{}
		s.passes(time.Minute)
		expect(t, s.told, "+carol", "-bob")
		if err := s.list.Trouble(); err != nil {
			t.Errorf("it is over: %v", err)
		}
		if err := allowlist.TakeReadBeforeSave(s.list, []byte(stale)); err != nil {
			t.Fatal(err)
		}
		s.expectListed("alice carol")
	})
}

func TestCallbackMaySaveTheList(t *testing.T) {
	following(t, func(s *scene) {
		s.list.OnChange(func(allowlist.Change) {
			if err := s.list.Save(s.path); err != nil {
				t.Error(err)
			}
		})
		s.list.Remove(peerID(t, 2))
		s.edit(s.peers("alice", "carol"))
		s.passes(time.Minute)
		expect(t, s.told, "-bob", "+carol")
	})
}

func TestLateSubscriberHearsWhatStands(t *testing.T) {
	following(t, func(s *scene) {
		s.edit("[[peer]")
		s.passes(time.Second)
		var late heard[error]
		cancel := s.list.OnTrouble(late.note)
		if got := late.all(); len(got) != 1 || got[0].Error() != s.troubles.all()[0].Error() {
			t.Errorf("told %v", got)
		}
		cancel()
		cancel()
		s.edit("peer = 5")
		s.passes(time.Second)
		if got := late.all(); len(got) != 1 || len(s.troubles.all()) != 2 {
			t.Errorf("told %v after the end", got)
		}
	})
}

func TestDirectoryThatCannotBeWatchedIsToldAndLookedAt(t *testing.T) {
	following(t, func(s *scene) {
		full := "no space left on device"
		s.aimFails.Store(&full)
		s.write(s.peers("alice"))
		s.passes(time.Minute)
		s.expectTroubles("no space left")
		expect(t, s.told, "-bob")
		s.aimFails.Store(nil)
		s.passes(time.Minute)
		if err := s.list.Trouble(); err != nil {
			t.Errorf("it is over: %v", err)
		}
		s.failures <- errors.New("broken")
		s.failures <- fsnotify.ErrEventOverflow
		s.write(s.peers("alice", "bob"))
		s.passes(time.Second)
		s.expectTroubles("no space left", "broken")
		expect(t, s.told, "-bob", "+bob")
	})
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, path: filepath.Join(t.TempDir(), "allow.toml")}
		s.write(s.peers("alice"))
		list, err := allowlist.FollowWith(s.path, func() (allowlist.Watcher, error) { return nil, errors.New("too many open files") })
		if err != nil {
			t.Fatal(err)
		}
		s.list = list
		list.OnTrouble(s.troubles.note)
		s.write(s.peers("bob"))
		s.passes(time.Minute)
		s.expectTroubles("too many open files")
		s.expectListed("bob")
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLinkIsWatchedAtBothEnds(t *testing.T) {
	following(t, func(s *scene) {
		elsewhere := filepath.Join(t.TempDir(), "peers.toml")
		if err := errors.Join(os.Rename(s.path, elsewhere), os.Symlink(elsewhere, s.path)); err != nil {
			t.Fatal(err)
		}
		s.events <- fsnotify.Event{}
		s.passes(time.Second)
		if want := []string{filepath.Dir(s.path), filepath.Dir(elsewhere)}; !slices.Equal(*s.aimed.Load(), want) {
			t.Errorf("watched %v, want %v", *s.aimed.Load(), want)
		}
	})
}

func TestClosedListStays(t *testing.T) {
	following(t, func(s *scene) {
		for range 2 {
			if err := s.list.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s.write(s.peers("carol"))
		s.passes(time.Hour)
		s.expectListed("alice bob")
		s.list.Remove(peerID(t, 2))
		expect(t, s.told, "-bob")
	})
	if err := newList(t).Close(); err != nil {
		t.Errorf("a list that follows no file: %v", err)
	}
}

func TestCallbackThatClosesTheListPanics(t *testing.T) {
	following(t, func(s *scene) {
		closes := func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "closes the list") {
					t.Errorf("it said %q", said)
				}
			}()
			_ = s.list.Close()
		}
		s.list.OnChange(func(allowlist.Change) { closes() })
		s.list.OnTrouble(func(error) { closes() })
		s.edit("[[peer]")
		s.passes(time.Second)
		s.edit(s.peers("bob"))
		s.passes(time.Second)
		s.list.Remove(peerID(t, 2))
		expect(t, s.told, "-alice", "-bob")
	})
}

func TestFollowSaysWhatIsWrongAtOnce(t *testing.T) {
	var wrong *allowlist.FileError
	if _, err := allowlist.Follow(filepath.Join(t.TempDir(), "allow.toml")); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &wrong) {
		t.Errorf("a file that is missing: %v", err)
	}
}

// TestRealFileIsFollowed changes a real file in the ways in which files are
// changed, and waits for the word of each.
func TestRealFileIsFollowed(t *testing.T) {
	directory := t.TempDir()
	s := &scene{t: t, path: filepath.Join(directory, "allow.toml")}
	s.write(s.peers("alice"))
	list, err := allowlist.Follow(s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.list = list
	changed, troubled := make(chan string, 10), make(chan error, 10)
	list.OnChange(func(allowlist.Change) { changed <- s.listed() })
	list.OnTrouble(func(err error) { troubled <- err })
	awaits := func(want string) {
		t.Helper()
		if got := <-changed; got != want {
			t.Errorf("listed are %q, want %q", got, want)
		}
	}
	must := func(failures ...error) {
		t.Helper()
		if err := errors.Join(failures...); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(version string, listed ...string) { // as Kubernetes does with a ConfigMap
		t.Helper()
		folder := filepath.Join(directory, version)
		must(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "allow.toml"), []byte(s.peers(listed...)), 0o600),
			os.Symlink(version, filepath.Join(directory, "..new")), os.Rename(filepath.Join(directory, "..new"), filepath.Join(directory, "..data")))
	}

	s.write(s.peers("alice", "bob")) // in place
	awaits("alice bob")
	draft := s.path + "~"
	must(os.WriteFile(draft, []byte(s.peers("bob")), 0o600), os.Rename(draft, s.path)) // beside it
	awaits("bob")
	must(os.Remove(s.path))
	if err := <-troubled; !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
	publish("..1", "alice", "carol")
	must(os.Symlink(filepath.Join("..data", "allow.toml"), s.path))
	awaits("alice carol")
	publish("..2", "carol")
	must(os.RemoveAll(filepath.Join(directory, "..1")))
	awaits("carol")
	publish("..3", "bob")
	awaits("bob")
	must(list.Close())
}
