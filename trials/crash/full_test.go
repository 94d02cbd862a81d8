//go:build linux

package crash

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// tmpfs makes a small disk.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	switch err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("only root can make a small disk")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves so many bytes of a disk free.
func fill(t testing.TB, disk string, left int64) {
	t.Helper()
	var usage syscall.Statfs_t
	if err := syscall.Statfs(disk, &usage); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for free := int64(usage.Bavail) * usage.Bsize; free > left; free -= 4096 { // the node takes and gives meanwhile
		if _, err := f.Write(make([]byte, min(4096, free-left))); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A node's disk is filled while exchanges run, now to the last byte, now not quite.
// Whatever it had acknowledged is there when there is room again, and goes on.
func TestDiskThatFillsUp(t *testing.T) {
	t.Parallel()
	small, err := withFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 2
	if *thorough {
		rounds = 40
	}
	for i, side := range []string{"asker", "answerer"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(*seed, uint64(i)))
			p := newPair(t, small, unending)
			victim := p.of(side)
			disk := tmpfs(t, "24m")
			victim.journal = filepath.Join(disk, "journal")
			p.start()
			for range rounds {
				p.fillUp(disk, victim, random)
			}
			if err := os.WriteFile(filepath.Join(p.asker.dir, enough), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for !p.awaitEnd(victim) {
				p.outlive(victim)
			}
			p.end()
			t.Logf("filled up %d times: %v; the asker counts %s", rounds, p.heard, p.tally)
			if *thorough && (p.heard["tables refused"] == 0 || p.heard["refusals for want of room"] == 0) {
				t.Error("no table was refused while it was written, or no request for want of room")
			}
		})
	}
}

// A node's own journal fills its disk, down to what is kept free, while its peer is
// away. It says so, and has room again when the peer has come.
func TestDiskThatIsFilledByItsOwnJournal(t *testing.T) {
	t.Parallel()
	p := newPair(t, os.Args[0], unending, "PARLEY_TRIAL_WINDOW=1000")
	p.asker.journal = filepath.Join(tmpfs(t, "320m"), "journal") // 64 MiB and what is kept free
	p.asker.start()
	for p.heard["refusals for want of room"] == 0 {
		select {
		case l := <-p.lines:
			p.hear(l)
		case <-p.asker.read:
			p.asker.bury()
		case <-time.After(patience):
			p.t.Fatal("the disk isn't full yet")
		}
	}
	p.answerer.start()
	p.windUp()
	t.Log(p.heard)
}

// fillUp fills the disk, lets both go on for a while, and makes room.
func (p *pair) fillUp(disk string, victim *program, random *rand.Rand) {
	p.t.Helper()
	for more := 1 + random.IntN(20); ; more = 1 {
		if came, _ := p.await(more, victim); came {
			break
		}
		p.outlive(victim) // it had come to its end before there was room
	}
	fill(p.t, disk, []int64{0, 8 << 10, 100 << 10, 500 << 10, 1 << 20}[random.IntN(5)])
	for enough := time.After(time.Duration(200+random.IntN(400)) * time.Millisecond); ; {
		select {
		case l := <-p.lines:
			p.hear(l)
			continue
		case <-victim.read:
		case <-enough:
		}
		break
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		p.t.Fatal(err)
	}
}

// outlive starts a process again that ended because its disk was full.
func (p *pair) outlive(victim *program) {
	p.t.Helper()
	<-victim.read
	err := victim.command.Wait()
	if victim.command.ProcessState.ExitCode() != outOfRoom {
		p.t.Fatalf("the %s ended with %v:\n%s", victim.part, err, &victim.errors)
	}
	victim.start()
}
