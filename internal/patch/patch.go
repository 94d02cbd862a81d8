// Package patch builds the project with changes that are not in its source: bugs
// put in on purpose, to see that the tests find them, and points at which a
// process kills itself. So production code needs no switches for either.
//
// A patch is a unified diff, with what it does in words before it. Its lines are
// found by what they say, not by their numbers: each hunk must fit in exactly one
// place, so that a patch that no longer fits is noticed. A diff from /dev/null adds
// a file. The patched files are written elsewhere, and the go command takes them in place of the real ones
// (go help build, -overlay).
package patch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Patch is a change of some files.
type Patch struct {
	Name  string // of its file, without the ending
	About string // the words before the diff
	hunks []hunk
}

// Files are those that the patch changes, relative to the module's root.
func (p Patch) Files() []string {
	var files []string
	for _, h := range p.hunks {
		if !slices.Contains(files, h.file) {
			files = append(files, h.file)
		}
	}
	return files
}

// hunk is one change of one file.
type hunk struct {
	file     string // relative to the module's root, with slashes
	adds     bool   // the file, which isn't there before: a diff from /dev/null
	old, new string
}

// ErrMisfit is a patch that doesn't fit the source, or not in one place alone:
// the source has changed, and the patch must follow.
var ErrMisfit = errors.New("patch doesn't fit")

// Read reads a patch from a file.
func Read(name string) (Patch, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return Patch{}, err
	}
	p, err := Parse(string(text))
	p.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	if err != nil {
		return Patch{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// Parse takes the text of a patch apart.
func Parse(text string) (Patch, error) {
	var p Patch
	file, adds := "", false
	var at *hunk
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "--- "):
			at, adds = nil, strings.TrimSpace(line[4:]) == "/dev/null"
		case strings.HasPrefix(line, "+++ "):
			file = strings.TrimPrefix(strings.TrimSpace(line[4:]), "b/")
		case file == "":
			p.About += line
		case strings.HasPrefix(line, "@@"):
			p.hunks = append(p.hunks, hunk{file: file, adds: adds})
			at = &p.hunks[len(p.hunks)-1]
		case at == nil:
			return p, fmt.Errorf("line %q stands outside of a hunk", line)
		case line[0] == '-':
			at.old += line[1:]
		case line[0] == '+':
			at.new += line[1:]
		case line[0] == ' ' || line == "\n": // editors strip the space of an empty line
			at.old += strings.TrimPrefix(line, " ")
			at.new += strings.TrimPrefix(line, " ")
		default:
			return p, fmt.Errorf("line %q is none of a unified diff", line)
		}
	}
	p.About = strings.TrimSpace(p.About)
	if len(p.hunks) == 0 {
		return p, errors.New("there is no hunk in it")
	}
	return p, nil
}

// apply returns the text of the hunk's file with the change in it.
func (h hunk) apply(root string, patched map[string]string) (string, error) {
	text, found := patched[h.file]
	if !found {
		whole, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(h.file)))
		if h.adds && errors.Is(err, fs.ErrNotExist) {
			return h.new, nil
		}
		if err != nil {
			return "", err
		}
		text = string(whole)
	}
	if h.adds {
		return "", fmt.Errorf("%w: there is a %s already", ErrMisfit, h.file)
	}
	if n := strings.Count(text, h.old); n != 1 || h.old == "" {
		return "", fmt.Errorf("%w: its lines stand %d times in %s:\n%s", ErrMisfit, n, h.file, h.old)
	}
	return strings.Replace(text, h.old, h.new, 1), nil
}

// Overlay applies patches, in this order, to copies in dir of the files below
// root, and returns the name of the file that tells the go command so, for its
// flag -overlay. Root and dir are absolute.
func Overlay(root, dir string, patches ...Patch) (string, error) {
	patched := map[string]string{}
	for _, p := range patches {
		for _, h := range p.hunks {
			text, err := h.apply(root, patched)
			if err != nil {
				return "", fmt.Errorf("%s: %w", p.Name, err)
			}
			patched[h.file] = text
		}
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for file, text := range patched {
		instead := filepath.Join(dir, url.PathEscape(file))
		if err := os.WriteFile(instead, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(file))] = instead
	}
	name := filepath.Join(dir, "overlay.json")
	list, err := json.MarshalIndent(overlay, "", "\t")
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(name, list, 0o600)
}
