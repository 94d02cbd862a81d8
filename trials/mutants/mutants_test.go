package mutants

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-p2p/parley/internal/patch"
)

var (
	chosen   = flag.String("mutants", "", "which are tried: all, sample, or their names; none by default")
	rotation = flag.Int("rotation", 0, "which sample: the next number takes the next mutants")
	record   = flag.String("record", "", "the file, from the module's root, to write the results to")
)

const (
	atLeast    = 40
	sampleSize = 8
)

// root is the module's.
var root = func() string {
	here, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Dir(filepath.Dir(here))
}()

// mutant is a patch that puts in a bug.
type mutant struct {
	patch.Patch
	wrong, breaks string
}

// mutants reads all there are, in order of their numbers.
func mutants(t *testing.T) []mutant {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*.patch"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var all []mutant
	for _, name := range names {
		p, err := patch.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		wrong, breaks, found := strings.Cut(p.About, "\n\nBreaks: ")
		if !found || wrong == "" || breaks == "" {
			t.Fatalf("%s doesn't begin with what is wrong and a line that says what it breaks", name)
		}
		all = append(all, mutant{p, strings.Join(strings.Fields(wrong), " "), strings.Join(strings.Fields(breaks), " ")})
	}
	return all
}

// short is a mutant's name without its number.
func (m mutant) short() string {
	_, name, _ := strings.Cut(m.Name, "-")
	return name
}

func TestEveryMutantFitsTheSource(t *testing.T) {
	all := mutants(t)
	if len(all) < atLeast {
		t.Errorf("there are %d mutants, not %d", len(all), atLeast)
	}
	for _, m := range all {
		if _, err := patch.Overlay(root, t.TempDir(), m.Patch); err != nil {
			t.Error(err)
		}
		if !slices.ContainsFunc(catchers, func(c catcher) bool { return c.could(m.Files()) }) {
			t.Errorf("%s changes %v, of which no catcher knows", m.Name, m.Files())
		}
	}
}

// picked are the mutants that the flags name.
func picked(t *testing.T) []mutant {
	t.Helper()
	all := mutants(t)
	switch *chosen {
	case "all":
		return all
	case "sample":
		var sample []mutant
		for i := range sampleSize {
			sample = append(sample, all[(*rotation*sampleSize+i)%len(all)])
		}
		return sample
	}
	var named []mutant
	for name := range strings.SplitSeq(*chosen, ",") {
		at := slices.IndexFunc(all, func(m mutant) bool { return m.Name == name || m.short() == name })
		if at < 0 {
			t.Fatalf("there is no mutant %q", name)
		}
		named = append(named, all[at])
	}
	return named
}

func TestEveryMutantIsCaught(t *testing.T) {
	if *chosen == "" {
		t.Skip("no mutant is tried without the flag -mutants: each is a build of its own")
	}
	mutants := picked(t)
	results := make([]result, len(mutants))
	t.Run("caught", func(t *testing.T) {
		for i, m := range mutants {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				results[i] = m.try(t)
			})
		}
	})
	t.Run("control", func(t *testing.T) { control(t, results) })
	t.Logf("\n%s", text(results))
	if *record != "" {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(*record)), []byte(page(results)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// result is what became of a mutant.
type result struct {
	mutant
	by    *catcher // nil: it lives
	seed  string
	took  time.Duration // from the start of the first catcher
	built time.Duration // in all
}

// try runs one catcher after the other until the mutant is caught.
func (m mutant) try(t *testing.T) result {
	r := result{mutant: m}
	into := t.TempDir()
	overlay, err := patch.Overlay(root, into, m.Patch)
	if err != nil {
		t.Fatal(err)
	}
	binaries := map[string]string{}
	for i := range catchers {
		c := &catchers[i]
		if !c.could(m.Files()) {
			continue
		}
		start := time.Now()
		if binaries[c.folder] == "" {
			binaries[c.folder] = c.build(t, overlay, into)
			r.built += time.Since(start)
			start = time.Now()
		}
		caught, said, seed := c.catch(t, binaries[c.folder])
		r.took += time.Since(start)
		if caught {
			r.by, r.seed = c, seed
			t.Logf("caught by %s after %v:\n%s", c.name, r.took.Round(time.Millisecond), said)
			return r
		}
	}
	t.Errorf("nothing has caught it after %v: %s", r.took.Round(time.Millisecond), m.wrong)
	return r
}

// control runs the catchers that caught something without any mutant: then none
// of them may fail.
func control(t *testing.T, results []result) {
	var once sync.Map
	for _, r := range results {
		if r.by == nil {
			continue
		}
		if _, done := once.LoadOrStore(r.by.name, true); done {
			continue
		}
		t.Run(r.by.name, func(t *testing.T) {
			if caught, said, _ := r.by.catch(t, r.by.build(t, "", t.TempDir())); caught {
				t.Errorf("%s fails without a mutant:\n%s", r.by.name, said)
			}
		})
	}
}
