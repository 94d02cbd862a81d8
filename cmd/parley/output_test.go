package main

import (
	"strings"
	"testing"
)

func TestATableObeysNoPeer(t *testing.T) {
	var out strings.Builder
	if err := table(&out, "", "LANE REASON", [][]string{{"a\x1b[2Jb", "one\ntwo\u202Ethree"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "LANE    REASON\na\uFFFD[2Jb  one\uFFFDtwo\uFFFDthree\n"; got != want {
		t.Errorf("printed is %q, want %q", got, want)
	}
}
