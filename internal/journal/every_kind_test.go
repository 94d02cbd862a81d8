package journal

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// kind is one of the kinds of files that a journal is made of.
type kind struct {
	name  string
	files *regexp.Regexp // by their path in the directory
	ok    expectation    // what may come of it when one is cut short or a bit is flipped
	holds string         // and why that is so
}

type expectation int

const (
	// irrelevant: all is there.
	irrelevant expectation = iota
	// named: all is there, or a DamageError names the file.
	named
	// tail: of the newest log, from where it was synced on, what is gone is gone, and
	// all before it is there. Anywhere else, named.
	tail
)

// kindsOfFiles are all there are. A file of no kind fails the test, and so does a
// kind without a file.
var kindsOfFiles = []kind{
	{"lock", regexp.MustCompile(`^(records/)?LOCK$`), irrelevant,
		"nothing: it is there to be locked"},
	{"marker", regexp.MustCompile(`^records/marker\.(format-version|manifest)\.\d{6}\.[A-Z0-9-]+$`), irrelevant,
		"nothing: its name tells which manifest counts, or of which format the database is"},
	{"options", regexp.MustCompile(`^records/OPTIONS-\d{6}$`), irrelevant,
		"how Pebble was set up, for people; it isn't read"},
	{"manifest", regexp.MustCompile(`^records/MANIFEST-\d{6}$`), named,
		"which tables and logs count; of those that a later one replaced, nothing that is read"},
	{"watermark", regexp.MustCompile(`^records/SYNCED(\.manifest)?$`), irrelevant,
		"how far log and manifest were synced: without it, that alone isn't known"},
	{"log", regexp.MustCompile(`^records/\d{6}\.log$`), tail,
		"the latest batches"},
	{"table", regexp.MustCompile(`^records/\d{6}\.sst$`), named,
		"rows"},
	{"payload", regexp.MustCompile(`^payloads/\d{20}\.payload$`), named,
		"a payload that a record names"},
}

func kindOf(t *testing.T, file string) *kind {
	t.Helper()
	within := strings.TrimPrefix(file, memDir+"/")
	for i := range kindsOfFiles {
		if kindsOfFiles[i].files.MatchString(within) {
			return &kindsOfFiles[i]
		}
	}
	t.Fatalf("%s is of no kind that is known: say in kindsOfFiles what may come of damage to it", file)
	return nil
}

// verdicts counts what came of damage to the files of one kind.
type verdicts struct{ tried, whole, named, prefix int }

func (v *verdicts) add(other verdicts) {
	v.tried += other.tried
	v.whole += other.whole
	v.named += other.named
	v.prefix += other.prefix
}

func (v *verdicts) String() string {
	return fmt.Sprintf("%6d times (all there %6d, refused by name %6d, up to there %5d)", v.tried, v.whole, v.named, v.prefix)
}

// damages counts what was done to files of each kind, by its name.
type damages struct {
	files        map[string]int
	cut, flipped map[string]*verdicts
}

func newDamages() *damages {
	d := &damages{files: make(map[string]int), cut: make(map[string]*verdicts), flipped: make(map[string]*verdicts)}
	for _, k := range kindsOfFiles {
		d.cut[k.name], d.flipped[k.name] = &verdicts{}, &verdicts{}
	}
	return d
}

func (d *damages) add(other *damages) {
	for _, k := range kindsOfFiles {
		d.files[k.name] += other.files[k.name]
		d.cut[k.name].add(*other.cut[k.name])
		d.flipped[k.name].add(*other.flipped[k.name])
	}
}

// TestDamageToEveryKindOfFileIsFound cuts every file short, and flips bits of it, in
// journals that were left in several ways: at a sample of offsets, or with -everybyte
// at each.
func TestDamageToEveryKindOfFileIsFound(t *testing.T) {
	var mu sync.Mutex
	all := newDamages()
	t.Run("journals", func(t *testing.T) {
		for _, s := range storesToDamage(t) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				done := s.damage(t)
				mu.Lock()
				defer mu.Unlock()
				all.add(done)
			})
		}
	})
	for _, k := range kindsOfFiles {
		if all.files[k.name] == 0 {
			t.Errorf("no journal here has a file of the kind %s", k.name)
		}
		t.Logf("%-9s %2d files; cut short %v; a bit flipped %v", k.name, all.files[k.name], all.cut[k.name], all.flipped[k.name])
	}
}

// damage does it to every file of a journal, each time in a copy of its own.
func (s *storeToDamage) damage(t *testing.T) *damages {
	done := newDamages()
	for _, file := range everyFileOf(t, s.disk) {
		k := kindOf(t, file)
		if s.markAlone && k.ok != tail {
			continue // the same as in the journal that this is a copy of
		}
		done.files[k.name]++
		b := slices.Clone(contents(t, s.disk, file))
		for _, at := range k.places(len(b)) {
			damaged := copyOf(s.disk)
			replaced(t, damaged, file, b[:at])
			what := fmt.Sprintf("%s is cut to %d of %d bytes", file, at, len(b))
			wants := s.unsynced(file, at)
			s.judge(t, k, done.cut[k.name], damaged, file, what, wants, wants, s.before(at))

			damaged = copyOf(s.disk)
			contents(t, damaged, file)[at] ^= 1 << (at % 8)
			what = fmt.Sprintf("a bit of %s is flipped, in byte %d of %d", file, at, len(b))
			s.judge(t, k, done.flipped[k.name], damaged, file, what, wants, false, s.before(at))
		}
	}
	return done
}

// judge opens a damaged journal, twice, and compares with what is expected. What
// stands before the damage may be all that is there, or must be.
func (s *storeToDamage) judge(t *testing.T, k *kind, v *verdicts, disk *vfs.MemFS, file, what string, may, must bool, before state) {
	t.Helper()
	v.tried++
	got, err := recovered(memDir, disk)
	switch whole := s.states[len(s.states)-1]; {
	case err != nil && !must && k.ok != irrelevant && errors.Is(err, ErrDamaged) && names(err, file):
		v.named++
		return
	case err != nil:
		t.Errorf("%s: %v", what, err)
		return
	case maps.Equal(got, whole) && !must:
		v.whole++
	case may && maps.Equal(got, before):
		v.prefix++
	default:
		t.Errorf("%s: silently recovered %v, of %v", what, got, whole)
		return
	}
	if again, err := recovered(memDir, disk); err != nil || !maps.Equal(again, got) {
		t.Errorf("%s: the second start has %v (%v), the first had %v", what, again, err, got)
	}
}

// names reports whether an error names a file. Pebble tells of its tables by number.
func names(err error, file string) bool {
	number, isTable := strings.CutSuffix(path.Base(file), ".sst")
	return strings.Contains(err.Error(), path.Base(file)) || isTable && strings.Contains(err.Error(), "file "+number) ||
		isTable && strings.Contains(err.Error(), "table "+number)
}

// places are the offsets of a file at which it is damaged: its ends, and a sample of
// what is between them, of a file that isn't read a smaller one.
func (k *kind) places(size int) (at []int) {
	ends, step := 4, max(1, size/12)
	switch {
	case k.ok == irrelevant:
		ends, step = 1, max(1, size/4)
	case *everyByte && size <= 8<<10:
		step = 1
	case *everyByte:
		step = size / (2 << 10)
	}
	for i := range size {
		if i < ends || i >= size-ends || i%step == 0 {
			at = append(at, i)
		}
	}
	return at
}

// everyFileOf lists all that stands in the directory, but for directories.
func everyFileOf(t testing.TB, disk *vfs.MemFS) (files []string) {
	t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		names, err := disk.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, name := range names {
			info, err := disk.Stat(path.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(path.Join(dir, name))
			} else {
				files = append(files, path.Join(dir, name))
			}
		}
	}
	walk(memDir)
	return files
}

// storeToDamage is a journal as a process left it that was killed.
type storeToDamage struct {
	name   string
	disk   *vfs.MemFS
	states []state // after each batch
	log    string  // the newest
	ends   []int   // of each batch in that log; -1 before it
	synced int     // offset up to which the watermark says that the log was synced

	markAlone bool // it differs from another in the watermark of its log
}

// before is the state of which nothing stands beyond an offset of the newest log.
func (s *storeToDamage) before(at int) state {
	last := state{}
	for i, end := range s.ends {
		if end <= at {
			last = s.states[i]
		}
	}
	return last
}

// unsynced reports whether an offset of a file is one of the newest log from which on
// nothing is known to have been synced.
func (s *storeToDamage) unsynced(file string, at int) bool { return file == s.log && at >= s.synced }

// storesToDamage writes journals of each kind of file. Every batch is synced, so that
// the watermark alone says what was.
func storesToDamage(t testing.TB) []*storeToDamage {
	t.Helper()
	first := &storeToDamage{name: "killed", disk: vfs.NewCrashableMem()}
	j := mustOpen(t, memDir, first.disk)
	first.log = newestLog(t, first.disk)
	first.write(t, j, 6)
	killed := copyOf(first.disk)
	mustClose(t, j)

	// Started again, it has tables, a second log, and manifests that count no more.
	again := &storeToDamage{name: "killed again", disk: copyOf(killed), states: slices.Clone(first.states)}
	for range again.states {
		again.ends = append(again.ends, -1)
	}
	j = mustOpen(t, memDir, again.disk)
	again.log = newestLog(t, again.disk)
	again.write(t, j, 6)
	killedAgain := copyOf(again.disk)
	mustClose(t, j)

	first.disk, again.disk = killed, killedAgain
	first.synced, again.synced = first.ends[len(first.ends)-1], again.ends[len(again.ends)-1]

	stale := *again
	stale.markAlone = true
	stale.name, stale.disk, stale.synced = "with an older watermark", copyOf(again.disk), again.ends[len(again.ends)-3]
	number, _ := logNumber(stale.disk, stale.log)
	replaced(t, stale.disk, markOf, watermark{log: number, offset: int64(stale.synced)}.append(nil))
	unmarked := *again
	unmarked.markAlone = true
	unmarked.name, unmarked.disk, unmarked.synced = "without a watermark", withoutMark(t, copyOf(again.disk)), 0
	return []*storeToDamage{first, again, &stale, &unmarked}
}

// write commits batches that name payloads, of which some have files, and one of
// those more than one piece.
func (s *storeToDamage) write(t testing.TB, j *Journal, batches int) {
	t.Helper()
	for i := range batches {
		number, size := j.NextPayload(), 100+37*i
		if i == 5 {
			size = pieceSize + 100
		}
		last := state{}
		if len(s.states) > 0 {
			last = maps.Clone(s.states[len(s.states)-1])
		}
		b := j.Batch()
		if i%3 == 2 {
			j.arriving.Add(j.cache.limit) // so it goes to a file
			w, err := j.CreatePayload(number, int64(size))
			j.arriving.Add(-j.cache.limit)
			if err == nil {
				_, err = w.Write(pattern(size))
				err = errors.Join(err, w.Finish())
			}
			if err != nil {
				t.Fatal(err)
			}
		} else {
			b.SetPayload(number, pattern(size))
		}
		key := fmt.Sprintf("key %d", len(s.states))
		last[key] = fmt.Sprintf("%d %d", number, size)
		b.Set([]byte(key), []byte(last[key]))
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		s.states = append(s.states, last)
		s.ends = append(s.ends, len(contents(t, s.disk, s.log)))
	}
}
