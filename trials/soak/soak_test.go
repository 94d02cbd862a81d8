package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAShortSoakEndsEveryExchange(t *testing.T) {
	o := options{length: time.Second, every: 100 * time.Millisecond, rate: 40, nodes: 2, seed: 1, dir: t.TempDir(), report: filepath.Join(t.TempDir(), "report")}
	var said strings.Builder
	if err := o.run(t.Context(), &said); err != nil && !strings.Contains(err.Error(), "grown") { // two seconds prove nothing of that
		t.Errorf("%v\n%s", err, &said)
	}
	if !strings.Contains(said.String(), "; 0 lost") {
		t.Errorf("it says nothing of what was lost:\n%s", &said)
	}
}

func TestWhatGrowsIsFound(t *testing.T) {
	flat, leaking := make([]sample, 40), make([]sample, 40)
	for i := range flat {
		flat[i] = sample{heap: 10 + float64(i%3), resident: 40, files: 50, goroutines: 80 + float64(i%7), disk: float64(i % 16)}
		leaking[i] = flat[i]
		leaking[i].heap += float64(i) / 4
		leaking[i].files += float64(i)
	}
	var out strings.Builder
	if grown := verdict(&out, flat); len(grown) > 0 {
		t.Errorf("what is flat has grown: %v", grown)
	}
	if grown := verdict(&out, leaking); strings.Join(grown, ", ") != "heap MiB, files" {
		t.Errorf("grown: %v, want the heap and the files", grown)
	}
	if !strings.Contains(out.String(), "GROWN") {
		t.Errorf("the table doesn't show it:\n%s", &out)
	}
}
