package crash

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/parley-p2p/parley"
)

// answerer is the application that answers. What it answers it draws at random, and
// writes down as the effect of the request: after a crash it must give that again.
type answerer struct {
	*playing
	written *ledger
}

func answer() error {
	p, err := open(func(*parley.Config) {})
	if err != nil {
		return err
	}
	written, _, err := openLedger(p.dir)
	if err != nil {
		return err
	}
	a := &answerer{p, written}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-p.stopped
		a.untilAllHasEnded()
		cancel()
	}()
	for e := range p.Events(ctx) {
		if err := a.take(e); err != nil {
			return err
		}
	}
	if open := p.Exchanges(); len(open) > 0 {
		return fmt.Errorf("%d exchanges never ended, the first: %+v", len(open), open[0])
	}
	return p.Close()
}

// untilAllHasEnded waits for the last acknowledgements.
func (a *answerer) untilAllHasEnded() {
	for end := time.Now().Add(patience); time.Now().Before(end) && len(a.Exchanges()) > 0; {
		time.Sleep(5 * time.Millisecond)
	}
}

func (a *answerer) take(e parley.Event) error {
	switch {
	case e.Kind.Priority():
		return blame(e)
	case e.Kind == parley.RequestAbandoned:
		return a.written.note("abandoned", e.ID, "-")
	case e.Kind != parley.RequestReceived:
		return fmt.Errorf("%v came: %w", e.Kind, e.Err)
	}
	j, err := jobOf(a.seed, e.Body)
	if err != nil {
		return err
	}
	number := fmt.Sprint(j.number)
	if err := a.written.noteEvent(e, number); err != nil {
		return err
	}
	text, had := a.written.find("effect", e.ID)
	if !had {
		text = number + "\t" + rand.Text()
		if err := a.written.note("effect", e.ID, text); err != nil {
			return err
		}
	}
	if j.kind == held || j.kind == forsaken {
		return nil
	}
	if j.kind == refused {
		err = a.Reject(e.ID, text)
	} else {
		err = a.replyWhenThereIsRoom(e.ID, padded(text, j.reply))
	}
	if errors.Is(err, parley.ErrAbandoned) && len(j.outcomes()) > 1 {
		return a.written.note("too-late", e.ID, number)
	}
	if err != nil {
		return err
	}
	fmt.Println("answered")
	return a.written.note("answered", e.ID, number)
}

func (a *answerer) replyWhenThereIsRoom(id parley.ID, body []byte) error {
	for {
		err := a.Reply(id, body)
		if !errors.Is(err, parley.ErrDiskFull) {
			return err
		}
		fmt.Println("full")
		time.Sleep(10 * time.Millisecond)
	}
}
