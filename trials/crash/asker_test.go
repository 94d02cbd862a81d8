package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parley-p2p/parley"
)

const (
	// window bounds the jobs of an asker that are under way, if its test doesn't.
	window = 12
	// enough is a file in an asker's directory: it begins no more jobs.
	enough = "enough"
)

// asker is the application that makes requests. Its requests have keys, so that it
// needn't know after a crash which of them it has made.
type asker struct {
	*playing
	written *ledger
	next    int               // the job to begin
	jobs    int               // to begin at most
	window  int               // to be under way at most
	open    map[parley.ID]job // at most window
	recall  []parley.ID       // those of open to be cancelled
}

func ask() error {
	p, err := open(func(c *parley.Config) { c.ExplicitCommit = true })
	if err != nil {
		return err
	}
	a := &asker{playing: p, window: window, open: map[parley.ID]job{}}
	if a.jobs, err = strconv.Atoi(os.Getenv("PARLEY_TRIAL_JOBS")); err != nil {
		return err
	}
	if wide := os.Getenv("PARLEY_TRIAL_WINDOW"); wide != "" {
		if a.window, err = strconv.Atoi(wide); err != nil {
			return err
		}
	}
	if err := a.resume(); err != nil {
		return err
	}
	if err := a.work(); err != nil {
		return err
	}
	tally := p.Stats()
	fmt.Printf("tally: %d timeouts, %d redials, %d NACKs\n", tally.Timeouts, tally.Redials, tally.Nacks)
	fmt.Println("done")
	<-p.stopped
	return p.Close()
}

// resume makes the requests again that had been made and hadn't ended: they have
// their keys, and so their exchanges.
func (a *asker) resume() error {
	written, entries, err := openLedger(a.dir)
	if err != nil {
		return err
	}
	a.written = written
	for _, e := range entries {
		if e.word != "asked" {
			continue
		}
		number, err := strconv.Atoi(e.more)
		if err != nil {
			return err
		}
		a.next = max(a.next, number+1)
		id, err := parley.ParseID(e.id)
		if err != nil {
			return err
		}
		if _, ended := written.find("effect", id); ended {
			continue
		}
		j := drawJob(a.seed, number)
		a.begun(id, j)
		switch again, err := a.ask(j); {
		case errors.Is(err, parley.ErrDiskFull): // it says so before it looks for the key
		case err != nil:
			return err
		case again != id:
			return fmt.Errorf("job %d was %s and is %s", number, id, again)
		}
	}
	if a.next < a.jobs { // it may have been made, and not been written down
		return a.beginNext()
	}
	return nil
}

func (a *asker) ask(j job) (parley.ID, error) {
	m := parley.Message{Peer: a.peer, Lane: j.lane(), Key: fmt.Sprint(j.number), Body: j.request()}
	if j.deadline > 0 {
		m.Deadline = time.Now().Add(j.deadline)
	}
	ids, err := a.Send(m)
	if err != nil {
		return parley.ID{}, err
	}
	return ids[0], nil
}

// begun notes that a job is under way, unless it has ended already: a life before
// may have made its request and not have come to write it down.
func (a *asker) begun(id parley.ID, j job) {
	if _, ended := a.written.find("effect", id); ended {
		return
	}
	a.open[id] = j
	if j.cancelled() {
		a.recall = append(a.recall, id)
	}
}

// work goes on until every job has ended, on both sides.
func (a *asker) work() error {
	for {
		if err := a.begin(); err != nil {
			return err
		}
		if a.next >= a.jobs && len(a.open) == 0 && len(a.Exchanges()) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		e, err := a.Receive(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
		case err != nil:
			return err
		default:
			if err := a.take(e); err != nil {
				return err
			}
		}
		if err := a.cancelOne(); err != nil {
			return err
		}
	}
}

// begin makes new requests as long as there is room.
func (a *asker) begin() error {
	if _, err := os.Stat(filepath.Join(a.dir, enough)); err == nil {
		a.jobs = 0
	}
	for len(a.open) < a.window && a.next < a.jobs {
		before := a.next
		if err := a.beginNext(); err != nil || a.next == before {
			return err
		}
	}
	return nil
}

// beginNext makes one more request. When there is no room for it, it is made later.
func (a *asker) beginNext() error {
	j := drawJob(a.seed, a.next)
	id, err := a.ask(j)
	if errors.Is(err, parley.ErrDiskFull) {
		fmt.Println("full")
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.written.note("asked", id, fmt.Sprint(a.next)); err != nil {
		return err
	}
	a.begun(id, j)
	a.next++
	return nil
}

func (a *asker) take(e parley.Event) error {
	if e.Kind.Priority() {
		return blame(e)
	}
	outcome, text := outcomeOf(e)
	if outcome == "" {
		return fmt.Errorf("%v came: %w", e.Kind, e.Err)
	}
	more := outcome + "\t" + text
	if err := a.written.noteEvent(e, more); err != nil {
		return err
	}
	if _, had := a.written.find("effect", e.ID); !had {
		if err := a.written.note("effect", e.ID, more); err != nil {
			return err
		}
	}
	if err := a.Commit(e.ID); err != nil {
		return err
	}
	if err := a.written.note("committed", e.ID, "-"); err != nil {
		return err
	}
	delete(a.open, e.ID)
	fmt.Println("committed")
	return nil
}

// outcomeOf names how an exchange ended, and what the peer said.
func outcomeOf(e parley.Event) (outcome, text string) {
	var rejected *parley.RejectedError
	switch {
	case e.Kind == parley.ReplyReceived:
		return "answered", fmt.Sprintf("%s of %d bytes", unpadded(e.Body), len(e.Body))
	case e.Kind != parley.ExchangeFailed:
		return "", ""
	case errors.As(e.Err, &rejected):
		return "rejected", rejected.Reason
	case errors.Is(e.Err, parley.ErrExpired):
		return "expired", "-"
	case errors.Is(e.Err, parley.ErrCancelled):
		return "cancelled", "-"
	}
	return "", ""
}

func (a *asker) cancelOne() error {
	if len(a.recall) == 0 {
		return nil
	}
	id := a.recall[0]
	a.recall = a.recall[1:]
	if _, open := a.open[id]; !open {
		return nil
	}
	err := a.Cancel(id)
	if errors.Is(err, parley.ErrEnded) {
		return nil // its event is on the way
	}
	return err
}
