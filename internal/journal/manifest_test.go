package journal

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestOf returns a manifest with records of the given sizes, and the offset
// after each.
func manifestOf(t *testing.T, sizes ...int) (manifest []byte, ends []int64) {
	t.Helper()
	var b bytes.Buffer
	w := record.NewWriter(&b)
	for _, size := range sizes {
		end, err := w.WriteRecord(pattern(size))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), ends
}

// TestTornRecordOfAManifest loses the first sector of a long record, of which a
// power cut kept what follows: that is damage only when another was written
// behind it.
func TestTornRecordOfAManifest(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int
		torn  bool
	}{
		"the last record":       {[]int{100, 3 * blockSize}, true},
		"with another after it": {[]int{100, 3 * blockSize, 100}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, ends := manifestOf(t, c.sizes...)
			at := ends[0]
			clear(b[at:][:512])
			l := &logFile{name: "MANIFEST-000001", bytes: b, manifest: true}
			good, _, err := l.check(true)
			if int64(good) != at || (err == nil) != c.torn {
				t.Fatalf("good to %d, %v; want %d, torn %v", good, err, at, c.torn)
			}
		})
	}
}

// A record above the manifest's own watermark was never acted on: it is a torn one,
// even when it looks like a synced one with a bit flipped.
func TestATornRecordAboveTheManifestsMarkLooksLikeABit(t *testing.T) {
	for name, c := range map[string]struct {
		mark uint64
		torn bool
	}{
		"its own mark": {1, true},
		"another's":    {2, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, ends := manifestOf(t, 100, 100)
			b[ends[0]+manifestHeaderSize] ^= 1
			fs := vfs.NewMem()
			replaced(t, fs, "MANIFEST-000001", b)
			replaced(t, fs, manifestMarkFile, watermark{c.mark, ends[0]}.append(nil))
			l, err := openLog(fs, "MANIFEST-000001")
			if err != nil {
				t.Fatal(err)
			}
			if good, _, err := l.check(true); int64(good) != ends[0] || (err == nil) != c.torn {
				t.Fatalf("good to %d of %d, %v; torn %v", good, ends[0], err, c.torn)
			}
		})
	}
}
