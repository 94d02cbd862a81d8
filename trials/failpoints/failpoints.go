// Package failpoints builds programs of this project that kill themselves at named
// places: between a write and its sync, after half a frame, amid their recovery.
// The places are put in by failpoints.patch at build time, so that production code
// knows nothing of them.
//
//	program, err := failpoints.BuildTest(dir, "./trials/crash")
//	…
//	command.Env = append(os.Environ(), failpoints.Env("log-unsynced", 3))
//
// A program whose environment names no place runs as any other.
package failpoints

import (
	_ "embed"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/parley-p2p/parley/internal/patch"
)

//go:embed failpoints.patch
var diff string

// place is a line that the patch adds, and the place's name.
var place = regexp.MustCompile(`(?m)^\+.*failpoint\.(?:Here|After)\("([a-z-]+)"`)

// Names are the places, in the order of the alphabet, as the patch has them.
func Names() []string {
	var names []string
	for _, found := range place.FindAllStringSubmatch(diff, -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Env is what a process needs in its environment to kill itself when it passes
// the place for the nth time.
func Env(name string, nth int) string { return fmt.Sprintf("PARLEY_FAILPOINT=%s:%d", name, nth) }

// Build builds the program of a package, given as a path from the module's root,
// into dir, which is for this program alone, and returns its path. Further patches
// may change it besides.
func Build(dir, pkg string, more ...patch.Patch) (program string, err error) {
	return build(dir, pkg, []string{"build"}, more)
}

// BuildTest builds the test binary of a package, likewise.
func BuildTest(dir, pkg string, more ...patch.Patch) (program string, err error) {
	return build(dir, pkg, []string{"test", "-c", "-vet=off"}, more)
}

func build(dir, pkg string, how []string, more []patch.Patch) (string, error) {
	points, err := patch.Parse(diff)
	if err != nil {
		return "", err
	}
	points.Name = "failpoints"
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	overlay, err := patch.Overlay(root, dir, append([]patch.Patch{points}, more...)...)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "program")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	command := exec.Command("go", append(how, "-overlay", overlay, "-o", program, pkg)...)
	command.Dir = root
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s with failpoints: %w\n%s", pkg, err, said)
	}
	return program, nil
}

// moduleRoot is where go.mod lies, above the present directory.
func moduleRoot() (string, error) {
	said, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(said))), nil
}
