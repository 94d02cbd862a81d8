package failpoints

import (
	"testing"

	"github.com/parley-p2p/parley/internal/patch"
)

func TestThePatchFitsTheSource(t *testing.T) {
	p, err := patch.Parse(diff)
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patch.Overlay(root, t.TempDir(), p); err != nil {
		t.Errorf("%v: write the patch anew where the source has changed", err)
	}
}
