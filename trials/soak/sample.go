package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// sample is how much there is of what must not grow.
type sample struct {
	at         time.Duration
	heap       float64 // MiB in use after a collection
	resident   float64 // MiB of the process; 0 where the system doesn't tell
	files      float64 // open; likewise
	goroutines float64
	disk       float64 // MiB of all nodes' directories
	done       uint64  // exchanges that have ended
	open       int
}

const mib = 1 << 20

func (g *group) sample(begun time.Time, dir string) (sample, error) {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	s := sample{
		at: time.Since(begun), heap: float64(memory.HeapAlloc) / mib, resident: resident(), files: openFiles(),
		goroutines: float64(runtime.NumGoroutine()), open: g.books.unended(),
	}
	g.books.mu.Lock()
	s.done = g.books.done
	g.books.mu.Unlock()
	bytes, err := sizeOf(dir)
	s.disk = float64(bytes) / mib
	return s, err
}

// resident reads the resident memory where Linux tells it.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(status), &size, &pages); err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / mib
}

func openFiles() float64 {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return float64(len(entries))
}

// sizeOf adds up the files below a directory. Some come and go meanwhile.
func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

var header = fmt.Sprintf("%8s %9s %9s %7s %11s %9s %10s %6s",
	"time", "heap MiB", "RSS MiB", "files", "goroutines", "disk MiB", "exchanges", "open")

func (s sample) String() string {
	return fmt.Sprintf("%8s %9.1f %9.1f %7.0f %11.0f %9.1f %10d %6d",
		s.at.Round(time.Second), s.heap, s.resident, s.files, s.goroutines, s.disk, s.done, s.open)
}

// soak runs the group for the time and takes samples; then it lets everything
// end, and judges.
func (o options) soak(ctx context.Context, out io.Writer) (err error) {
	g, err := newGroup(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()

	stirring, stop := context.WithTimeout(ctx, o.length)
	defer stop()
	stirred := make(chan error, 1)
	go func() { stirred <- g.stir(stirring, o.rate) }()

	begun := time.Now()
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	fmt.Fprintln(out, header)
	var samples []sample // some sixty
	for going := true; going; {
		select {
		case <-tick.C:
			s, err := g.sample(begun, o.dir)
			if err != nil {
				return err
			}
			samples = append(samples, s)
			fmt.Fprintln(out, s)
		case err := <-stirred:
			if err != nil {
				return err
			}
			going = false
		}
	}
	g.settle(ctx)
	return g.judge(out, samples)
}

// settle waits until every exchange has ended, or something is lost.
func (g *group) settle(ctx context.Context) {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for g.books.unended() > 0 {
		select {
		case <-look.C:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (g *group) judge(out io.Writer, samples []sample) error {
	grown := verdict(out, samples)
	b := g.books
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(out, "\n%d exchanges ended: %d answered, %d rejected, %d expired, %d cancelled; %d lost\n",
		b.done, b.outcomes["answered"], b.outcomes["rejected"], b.outcomes["expired"], b.outcomes["cancelled"], len(b.open))
	for _, fault := range b.faults {
		fmt.Fprintln(out, "  wrong:", fault)
	}
	switch {
	case len(b.open) > 0 || len(b.faults) > 0:
		return errors.New("an exchange was lost, or ended twice, or something else went wrong")
	case len(grown) > 0:
		return fmt.Errorf("grown: %s", strings.Join(grown, ", "))
	}
	fmt.Fprintln(out, "verdict: flat, nothing lost, nothing twice")
	return nil
}
