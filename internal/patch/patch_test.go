package patch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const greeting = `package main

import "fmt"

func main() {
	fmt.Println("hello")
}
`

// module makes a module of one program, and returns its directory.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module greeting\n\ngo 1.26\n", "main.go": greeting} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustParse(t *testing.T, text string) Patch {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const farewell = `It takes its leave.

--- a/main.go
+++ b/main.go
@@ -5,3 +5,3 @@
 func main() {
-	fmt.Println("hello")
+	fmt.Println("farewell")
 }
`

func TestAPatchedBuildLeavesTheSourceAlone(t *testing.T) {
	dir := module(t)
	p := mustParse(t, farewell)
	if p.About != "It takes its leave." {
		t.Errorf("the patch is about %q", p.About)
	}
	overlay, err := Overlay(dir, t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command("go", "run", "-overlay", overlay, ".")
	run.Dir = dir
	said, err := run.CombinedOutput()
	if err != nil || string(said) != "farewell\n" {
		t.Errorf("the patched program said %q (%v)", said, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "main.go")); err != nil || string(text) != greeting {
		t.Errorf("the source is now\n%s (%v)", text, err)
	}
}

func TestAPatchThatDoesNotFitIsNoticed(t *testing.T) {
	dir := module(t)
	for what, text := range map[string]string{
		"its lines are gone":             strings.ReplaceAll(farewell, "hello", "good morning"),
		"its lines stand more than once": "--- main.go\n+++ main.go\n@@\n-\n+// here\n",
	} {
		if _, err := Overlay(dir, t.TempDir(), mustParse(t, text)); !errors.Is(err, ErrMisfit) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, text := range map[string]string{
		"no diff at all":      "words\n",
		"a line of no hunk":   "--- main.go\n+++ main.go\n-x\n",
		"a line of no change": "--- main.go\n+++ main.go\n@@\n\\ No newline at end of file\n",
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s is taken for a patch", what)
		}
	}
}

func TestPatchesOfOneFileAddUp(t *testing.T) {
	dir, into := module(t), t.TempDir()
	again := strings.ReplaceAll(strings.ReplaceAll(farewell, "farewell", "welcome back"), "hello", "farewell")
	if _, err := Overlay(dir, into, mustParse(t, farewell), mustParse(t, again)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(into, "main.go")); err != nil || !strings.Contains(string(text), "welcome back") {
		t.Errorf("the patched file is\n%s (%v)", text, err)
	}
}

const addition = `--- /dev/null
+++ b/word/word.go
@@ -0,0 +1,3 @@
+package word
+
+const Farewell = "farewell"
--- a/main.go
+++ b/main.go
@@ -2,5 +2,5 @@
 
-import "fmt"
+import "greeting/word"
 
 func main() {
-	fmt.Println("hello")
+	println(word.Farewell)
`

func TestAPatchMayAddAPackage(t *testing.T) {
	dir := module(t)
	overlay, err := Overlay(dir, t.TempDir(), mustParse(t, addition))
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command("go", "run", "-overlay", overlay, ".")
	run.Dir = dir
	if said, err := run.CombinedOutput(); err != nil || string(said) != "farewell\n" {
		t.Errorf("the patched program said %q (%v)", said, err)
	}
	present := strings.ReplaceAll(addition, "word/word.go", "main.go")
	if _, err := Overlay(dir, t.TempDir(), mustParse(t, present)); !errors.Is(err, ErrMisfit) {
		t.Errorf("a file that is there is added: %v", err)
	}
}
