package journal

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxRemovals bounds the goroutines that unlink. While there are so many, whoever
// commits unlinks by itself: what is dropped doesn't pile up behind a slow disk.
const maxRemovals = 64

// payloadFiles is the directory of the payloads that are too large to ride in a
// batch. All methods may be called at once.
type payloadFiles struct {
	fs  vfs.FS
	dir string
	log *slog.Logger

	mu       sync.Mutex
	sizes    map[uint64]int64 // of the complete files: at most two for each exchange
	unlinks  []uint64         // of those, dropped in batches that aren't durable yet: likewise two for each exchange
	removals sync.WaitGroup   // goroutines that unlink, at most maxRemovals
	removing int              // how many there are
}

// openPayloadFiles creates the directory or lists what is in it.
func openPayloadFiles(fs vfs.FS, dir string, log *slog.Logger) (*payloadFiles, error) {
	f := &payloadFiles{fs: fs, dir: dir, log: log, sizes: make(map[uint64]int64)}
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	numbers, err := f.list()
	if err != nil {
		return nil, err
	}
	for _, number := range numbers {
		info, err := fs.Stat(f.path(number))
		if err != nil {
			return nil, err
		}
		f.sizes[number] = info.Size()
	}
	return f, nil
}

// list returns the numbers of the files in the directory, in no order.
func (f *payloadFiles) list() ([]uint64, error) {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		base, ok := strings.CutSuffix(name, fileSuffix)
		if number, err := strconv.ParseUint(base, 10, 64); ok && err == nil {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

func (f *payloadFiles) path(number uint64) string {
	return f.fs.PathJoin(f.dir, fmt.Sprintf("%020d%s", number, fileSuffix))
}

func (f *payloadFiles) has(number uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.sizes[number]
	return ok
}

// drop unlinks the files among the numbers, at once when the batch that dropped
// them is durable, else with the next that is: until then a crash could bring
// back a record that names them. Unless much is under way it doesn't wait:
// unlinking a large file takes long. What is left over is swept at the next start.
func (f *payloadFiles) drop(numbers []uint64, durable bool) {
	unlinks, aside := f.forget(numbers, durable)
	if !aside {
		f.unlink(unlinks)
		return
	}
	f.removals.Go(func() { // at most maxRemovals
		f.unlink(unlinks)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.removing--
	})
}

// forget takes out the files among the numbers and returns which are to be
// unlinked now, and whether a goroutine may do so.
func (f *payloadFiles) forget(numbers []uint64, durable bool) (unlinks []uint64, aside bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, number := range numbers {
		if _, ok := f.sizes[number]; ok {
			delete(f.sizes, number)
			f.unlinks = append(f.unlinks, number)
		}
	}
	if !durable || len(f.unlinks) == 0 {
		return nil, false
	}
	unlinks, f.unlinks = f.unlinks, nil
	if f.removing == maxRemovals {
		return unlinks, false
	}
	f.removing++
	return unlinks, true
}

func (f *payloadFiles) unlink(numbers []uint64) {
	for _, number := range numbers {
		if err := f.fs.Remove(f.path(number)); err != nil {
			f.log.Warn("payload file not removed: the next start tries again", "number", number, "error", err)
		}
	}
}

func (f *payloadFiles) stats() (files int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, size := range f.sizes {
		bytes += size
	}
	return len(f.sizes), bytes
}
