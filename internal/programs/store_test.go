package programs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
)

func TestAnAnswerThatCannotBeStoredNowIsKeptAndStoredLater(t *testing.T) {
	b := newBench(t, `echo x >> tries; echo -n well`, Program{Attempts: 1})
	b.node.fail = []error{parley.ErrDiskFull, parley.ErrQueueFull, parley.ErrDiskFull}
	b.offer(b.request(1, ""))
	select {
	case got := <-b.node.ends:
		if got != "reply well" {
			t.Errorf("it ended as %q", got)
		}
	case <-b.dead:
		t.Errorf("it is a dead letter: %+v", b.DeadLetters())
	}
	if tries, err := os.ReadFile(filepath.Join(b.dir, "tries")); err != nil || len(tries) != 2 {
		t.Errorf("it ran %d times (%v)", len(tries)/2, err)
	}
}

// full says that the disk is, for longer than any test takes.
func full() (all []error) {
	for range 1 << 20 {
		all = append(all, parley.ErrDiskFull)
	}
	return all
}

func (n *fakeNode) left() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.fail)
}

func TestAnAnswerThatCannotBeStoredIsLetGoWithItsExchangeAndItsNode(t *testing.T) {
	b := newBench(t, `echo -n well`, Program{Attempts: 1})
	b.node.fail = full()
	over, open := b.request(1, ""), b.request(2, "")
	b.offer(over)
	b.offer(open)
	for b.node.left() > 1<<20-10 {
		time.Sleep(time.Millisecond) // a poll of real processes
	}
	if !b.Drop(over.ID) {
		t.Error("no program had it")
	}
	b.stop()
	if letters := b.DeadLetters(); len(letters) != 0 {
		t.Errorf("dead letters: %v", letters)
	}
}

func TestAnAnswerThatCanNeverBeStoredIsItsProgramsFailure(t *testing.T) {
	b := newBench(t, `echo -n well`, Program{Attempts: 2})
	b.node.fail = []error{parley.ErrTooLarge, parley.ErrTooLarge}
	b.offer(b.request(1, ""))
	<-b.dead
	if letters := b.DeadLetters(); len(letters) != 1 || letters[0].Attempts != 2 {
		t.Errorf("dead letters: %v", letters)
	}
}
