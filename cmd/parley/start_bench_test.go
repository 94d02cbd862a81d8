//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkStart is how long `parley run` takes on an empty journal until it listens and
// says that it is ready, and how much of it is in memory then.
func BenchmarkStart(b *testing.B) {
	manager, folder := serviceManager(b)
	binary := filepath.Join(folder, "parley")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}

	var took []time.Duration
	var resident float64
	for i := 0; b.Loop(); i++ {
		node := filepath.Join(folder, strconv.Itoa(i))
		if out, err := exec.Command(binary, "init", "--dir", node, "--listen", "127.0.0.1:0").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		run := exec.Command(binary, "run", "--dir", node)
		run.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String())
		began := time.Now()
		if err := run.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := manager.Read(make([]byte, 512)); err != nil { // READY=1
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		resident = max(resident, residentMiB(b, run.Process.Pid))
		_ = run.Process.Kill() // its journal stays empty
		_ = run.Wait()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-to-listen")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-at-most")
	b.ReportMetric(resident, "MiB-resident")
}

// residentMiB is what a process has in memory: see proc_pid_status(5).
func residentMiB(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		b.Fatalf("no resident size in %s", status)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}
