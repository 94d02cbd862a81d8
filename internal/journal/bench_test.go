package journal

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func benchmarkCommit(b *testing.B, dir string, sync bool) {
	j := mustOpen(b, dir, nil)
	defer mustClose(b, j)
	value := pattern(256)
	key := []byte("exchange 0000")
	took := make([]time.Duration, 0, 1<<16)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key[len(key)-1], key[len(key)-2] = byte(i), byte(i>>8)
		start := time.Now()
		batch := j.Batch()
		batch.Set(key, value)
		if err := batch.Commit(sync); err != nil {
			b.Fatal(err)
		}
		if len(took) < cap(took) {
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
}

func BenchmarkCommit(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkCommit(b, "", true) })
	b.Run("unsynced", func(b *testing.B) { benchmarkCommit(b, b.TempDir(), false) })
	b.Run("synced", func(b *testing.B) { benchmarkCommit(b, b.TempDir(), true) })
}

// BenchmarkCommitOf64 is what group commit gives to callers of their own.
func BenchmarkCommitOf64(b *testing.B) {
	j := mustOpen(b, b.TempDir(), nil)
	defer mustClose(b, j)
	value := pattern(256)
	var caller atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32) // times two processors
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Appendf(nil, "caller %d", caller.Add(1))
		for pb.Next() {
			batch := j.Batch()
			batch.Set(key, value)
			if err := batch.Commit(true); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkCommitBesideUploads commits while two streams store large payloads.
func BenchmarkCommitBesideUploads(b *testing.B) {
	dir := b.TempDir()
	j := mustOpen(b, dir, nil)
	defer mustClose(b, j)
	stop := make(chan struct{})
	uploaded := make(chan error, 2)
	payload := pattern(8 << 20)
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					uploaded <- nil
					return
				default:
				}
				number := putPayload(b, j, payload)
				batch := j.Batch()
				batch.DropPayload(number)
				if err := batch.Commit(false); err != nil {
					uploaded <- err
					return
				}
			}
		}()
	}
	took := make([]time.Duration, 0, 1<<16)
	for b.Loop() {
		start := time.Now()
		batch := j.Batch()
		batch.Set([]byte("key"), payload[:256])
		if err := batch.Commit(true); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	close(stop)
	for range 2 {
		if err := <-uploaded; err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
}

func BenchmarkPayload(b *testing.B) {
	for _, size := range []int{4 << 10, 256 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("%d KiB", size>>10), func(b *testing.B) {
			j := mustOpen(b, b.TempDir(), nil)
			defer mustClose(b, j)
			payload := pattern(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				number := putPayload(b, j, payload)
				j.cache.remove(number)
				if _, err := j.Payload(number); err != nil {
					b.Fatal(err)
				}
				batch := j.Batch()
				batch.DropPayload(number)
				if err := batch.Commit(true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
