package parley

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
)

// Call makes a request and waits for the reply, which it commits. Many may wait
// at once. When the context ends first the exchange goes on, and its outcome comes
// as an event. Errors: Request's, *RejectedError, ErrCancelled, the context's.
func (h *Handler) Call(ctx context.Context, peer identity.ID, address string, msg []byte) ([]byte, error) {
	return h.CallMessage(ctx, Message{Peer: peer, Address: address, Body: msg})
}

// CallMessage is Call for a message with a lane or a deadline; the errors are
// Call's and ErrExpired. A message with a Key can't be waited for.
func (h *Handler) CallMessage(ctx context.Context, m Message) ([]byte, error) {
	if m.Key != "" {
		return nil, errors.New("a call can't have a key: make it with Send and take its event")
	}
	outcome := make(chan fsm.Delivery, 1)
	a, err := h.enqueue([]Message{m}, true, outcome)
	if err != nil {
		return nil, err
	}
	name := a.Names[0]
	select {
	case d := <-outcome:
		return h.outcome(d)
	case <-h.journal.Failed(): // no outcome can be stored
		return nil, fmt.Errorf("%w: %w", ErrJournal, h.journal.Err())
	case <-h.loop.Stopped():
		return nil, ErrClosed
	case <-ctx.Done():
	}
	if _, err := h.call(h.loop.Unwait(name)); err != nil {
		return nil, err
	}
	select {
	case d := <-outcome: // it came just before
		return h.outcome(d)
	default:
		return nil, ctx.Err()
	}
}

// outcome reads and commits what a call waited for.
func (h *Handler) outcome(d fsm.Delivery) ([]byte, error) {
	body, err := h.body(d)
	if errors.Is(err, ErrClosed) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	h.tell(fsm.Commit{Name: d.Name})
	return body, eventOf(d).Err
}

// Request is a peer's request, as Serve gives it.
type Request struct {
	Event
}

// serveWidth bounds the requests that Serve has answered at once; others wait. Those
// of one lane are never among them together.
const serveWidth = 64

// Serve answers requests with a function until the context ends, and returns its
// error. Requests of one lane are answered one after the other, those of
// different lanes, at most 64, at once. The function's error rejects the request
// with its text as the reason; ErrLater leaves the request open, for Reply later
// or the next start. Its context ends when the dialer gives the request up.
//
// Serve is the consumer of events; what is not a request waits for CheckReceive,
// which may be called beside it.
func (h *Handler) Serve(ctx context.Context, answer func(context.Context, *Request) ([]byte, error)) error {
	if !h.receiving.CompareAndSwap(false, true) {
		return ErrBusy
	}
	defer h.receiving.Store(false)
	h.serving.Store(true)
	defer h.serving.Store(false)
	h.commitLast()
	s := serving{h: h, answer: answer, places: make(chan struct{}, serveWidth), cancels: map[fsm.Name]context.CancelFunc{}}
	defer s.running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return s.run(ctx)
}

// serving is one run of Serve.
type serving struct {
	h       *Handler
	answer  func(context.Context, *Request) ([]byte, error)
	places  chan struct{}
	running sync.WaitGroup
	mu      sync.Mutex
	cancels map[fsm.Name]context.CancelFunc // of the requests being answered, at most serveWidth
}

// run takes events until the context ends. Requests for which there is no place
// wait unread, so that it still hears which have been given up.
func (s *serving) run(ctx context.Context) error {
	h := s.h
	for {
		var place chan<- struct{}
		if h.waiting.count > 0 {
			place = s.places
		}
		select {
		case place <- struct{}{}:
			s.start(ctx, h.waiting.next())
		case n := <-h.loop.Alerts:
			h.aside.put(apart{Event: h.alert(n)})
		case d := <-h.loop.Deliveries:
			s.take(d)
		case <-h.loop.Stopped():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *serving) take(d fsm.Delivery) {
	h := s.h
	switch d.Kind {
	case fsm.RequestReceived:
		h.tell(fsm.Taken{Name: d.Name})
		h.waiting.add(d)
	case fsm.RequestAbandoned:
		h.tell(fsm.Taken{Name: d.Name})
		delete(h.unread, d.Name)
		h.waiting.remove(d)
		s.abandon(d.Name)
	default:
		h.tell(fsm.Taken{Name: d.Name})
		h.aside.putOutcome(d, &h.early)
		if len(h.loop.Deliveries) == 0 {
			h.early.clear()
		}
	}
}

// start answers a request in a goroutine of its own.
func (s *serving) start(ctx context.Context, d fsm.Delivery) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.cancels[d.Name] = cancel
	s.mu.Unlock()
	s.running.Go(func() { // at most serveWidth
		defer func() { <-s.places }()
		defer s.abandon(d.Name)
		if err := s.reply(ctx, d); err != nil && !errors.Is(err, ErrAbandoned) && !errors.Is(err, ErrClosed) {
			s.h.log.Error("a request could not be answered", "peer", idOf(d.Peer), "exchange", idOfName(d.Name), "error", err)
		}
	})
}

func (s *serving) reply(ctx context.Context, d fsm.Delivery) error {
	e := eventOf(d)
	var err error
	if e.Body, err = s.h.body(d); errors.Is(err, journal.ErrNoPayload) {
		return ErrAbandoned // on the way here: the news follows
	} else if err != nil {
		return err
	}
	msg, err := s.answer(ctx, &Request{e})
	switch {
	case errors.Is(err, ErrLater):
		return nil
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil // given up, or stopping: it isn't the request's fault
	case err != nil:
		return s.h.Reject(e.ID, clip(err.Error()))
	}
	return s.h.Reply(e.ID, msg)
}

// abandon ends the context of a request's answer.
func (s *serving) abandon(name fsm.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel, found := s.cancels[name]; found {
		cancel()
		delete(s.cancels, name)
	}
}
