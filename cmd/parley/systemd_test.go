//go:build unix

package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/parley-p2p/parley"
)

// serviceManager is the socket of one, and the folder that it is in, which is short as a
// socket's path must be.
func serviceManager(t testing.TB) (manager *net.UnixConn, folder string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "parley-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	return manager, folder
}

// A node under a service manager, which is a socket here, tells it everything that a
// unit of Type=notify with a watchdog wants to hear.
func TestAServiceManagerIsToldWhatTheNodeDoes(t *testing.T) {
	manager, folder := serviceManager(t)
	heard := func() string {
		t.Helper()
		buffer := make([]byte, 512)
		if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := manager.Read(buffer)
		if err != nil {
			t.Fatalf("the node told nothing more: %v", err)
		}
		return string(buffer[:n])
	}
	want := func(state string) (told string) {
		t.Helper()
		for told = heard(); told == daemon.SdNotifyWatchdog; told = heard() {
		}
		if first, _, _ := strings.Cut(told, "\n"); first != state {
			t.Fatalf("the node told %q, want %s", told, state)
		}
		return told
	}

	node := filepath.Join(folder, "node")
	if out, err := exec.Command("parley", "init", "--dir", node, "--listen", "127.0.0.1:0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.Command("parley", "run", "--dir", node)
	run.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=200000")
	var said strings.Builder
	run.Stderr = &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = run.Process.Kill() // the test has failed already
			_ = run.Wait()
			t.Logf("the node said:\n%s", &said)
		}
	})

	want(daemon.SdNotifyReady)
	if out, err := exec.Command("parley", "status", "--dir", node).CombinedOutput(); err != nil {
		t.Errorf("ready, it doesn't answer: %v: %s", err, out)
	}
	for range 3 {
		if told := heard(); told != daemon.SdNotifyWatchdog {
			t.Fatalf("the node told %q, want that all is well", told)
		}
	}
	if err := run.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	reloading := want(daemon.SdNotifyReloading)
	_, text, _ := strings.Cut(reloading, "MONOTONIC_USEC=")
	if at, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err != nil || at <= 0 {
		t.Errorf("it reloads since %q: %v", text, err)
	}
	want(daemon.SdNotifyReady)
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	want(daemon.SdNotifyStopping)
	ended = true
	if err := run.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, &said)
	}
}

// well is a node that hangs, or does not, by the error that is in it.
type well struct{ trouble atomic.Pointer[error] }

func (w *well) Healthy() error {
	if err := w.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

func TestTheWatchdogHearsNothingOfANodeThatHangsAndOneWithoutAJournalEnds(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(30*1000*1000))
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	synctest.Test(t, func(t *testing.T) {
		node := &well{}
		told := 0
		tell := func(state string) {
			if state == daemon.SdNotifyWatchdog {
				told++
			} else if state != daemon.SdNotifyReady {
				t.Errorf("it told %q", state)
			}
		}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		ended := make(chan error, 1)
		go func() {
			ended <- attend(t.Context(), node, nil, log, tell, func() { t.Error("settings were read again") })
		}()
		after := func(span time.Duration, want int, when string) {
			t.Helper()
			time.Sleep(span)
			synctest.Wait()
			if told != want {
				t.Errorf("%s: told %d times in %s, want %d", when, told, span, want)
			}
			told = 0
		}
		after(time.Minute, 4, "all is well")
		hangs, fails := parley.ErrStuck, parley.ErrJournal
		node.trouble.Store(&hangs)
		after(time.Hour, 0, "the node hangs")
		node.trouble.Store(nil)
		after(time.Minute, 4, "it goes on")
		node.trouble.Store(&fails)
		time.Sleep(lookEvery)
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, parley.ErrJournal) {
				t.Errorf("it ended with %v", err)
			}
		default:
			t.Error("it goes on though nothing can be stored before another start")
		}
	})
}
