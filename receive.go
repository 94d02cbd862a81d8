package parley

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/mediator"
)

// CheckReceive takes the next event, if there is one; priority events come
// first. It never blocks, so that a synchronous application can call it from its
// own loop. Unless Config.ExplicitCommit is set, asking again, also when the
// answer is "nothing", commits the reply or failure given before. Events have one
// consumer: while another call receives, it has nothing.
func (h *Handler) CheckReceive() (Event, bool) {
	if !h.receiving.CompareAndSwap(false, true) {
		return h.takeAside(h.commitAtOnce)
	}
	defer h.receiving.Store(false)
	h.commitLast()
	if e, ok := h.takeAside(h.commitAtOnce); ok {
		return e, true
	}
	for !h.isClosed() {
		select {
		case n := <-h.loop.Alerts:
			return h.alert(n), true
		default:
		}
		if e, ok := h.leftByServe(); ok {
			return e, true
		}
		select {
		case d := <-h.loop.Deliveries:
			if e, ok := h.given(d); ok {
				return e, true
			}
		default:
			h.early.clear()
			return Event{}, false
		}
	}
	return Event{}, false
}

// Receive waits for the next event. Errors: the context's, ErrBusy while another
// call receives, ErrClosed.
func (h *Handler) Receive(ctx context.Context) (Event, error) {
	if !h.receiving.CompareAndSwap(false, true) {
		return Event{}, ErrBusy
	}
	defer h.receiving.Store(false)
	return h.receive(ctx)
}

// takeAside gives what Serve came across, once what it gave before is committed.
func (h *Handler) takeAside(commit func(ID) bool) (Event, bool) {
	return h.aside.take(h.config.ExplicitCommit, commit, h.read)
}

// commitAtOnce passes a commit on, unless the mediator is so far behind that it
// would have to wait.
func (h *Handler) commitAtOnce(done ID) bool {
	select {
	case h.loop.Commands <- mediator.Command{Input: fsm.Commit{Name: nameOf(done)}}:
		return true
	default:
		return false
	}
}

func (h *Handler) receive(ctx context.Context) (Event, error) {
	h.commitLast()
	commit := func(done ID) bool {
		select {
		case h.loop.Commands <- mediator.Command{Input: fsm.Commit{Name: nameOf(done)}}:
			return true
		case <-h.loop.Stopped():
		case <-ctx.Done():
		}
		return false
	}
	if e, ok := h.takeAside(commit); ok {
		return e, nil
	}
	for !h.isClosed() {
		select {
		case n := <-h.loop.Alerts:
			return h.alert(n), nil
		default:
		}
		if e, ok := h.leftByServe(); ok {
			return e, nil
		}
		select {
		case n := <-h.loop.Alerts:
			return h.alert(n), nil
		case d := <-h.loop.Deliveries:
			if e, ok := h.given(d); ok {
				return e, nil
			}
		case <-h.aside.came:
			if e, ok := h.takeAside(commit); ok {
				return e, nil
			}
		case <-h.loop.Stopped():
			return Event{}, ErrClosed
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
	return Event{}, ErrClosed
}

// Events gives events until the context or the handler ends.
func (h *Handler) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			e, err := h.Receive(ctx)
			if err != nil || !yield(e) {
				return
			}
		}
	}
}

// Commit says that the application is done with a reply or failure: after a crash
// it isn't given again. It returns once that is on disk. Errors: ErrUnknown,
// ErrOpen, ErrClosed, ErrJournal.
func (h *Handler) Commit(id ID) error {
	_, err := h.call(mediator.Command{Input: fsm.Commit{Name: nameOf(id)}})
	if err == nil {
		h.aside.committed(id, &h.early, len(h.loop.Deliveries) > 0 || h.serving.Load())
	}
	return public(err, id.Dialer, id)
}

// Take says that the application has a request which it was told of: see
// Config.ExplicitTake. It returns once its dialer may be told so; of what isn't open
// any more it says nothing. Error: ErrClosed.
func (h *Handler) Take(id ID) error {
	return h.pass(fsm.Taken{Name: nameOf(id)})
}

// Body reads the request of an exchange that a peer made and that is unanswered, or
// the reply to one made here, until it is committed. Errors: ErrUnknown when there is
// no such message, or no longer; ErrClosed, ErrDamaged.
func (h *Handler) Body(id ID) ([]byte, error) {
	var p fsm.Payload
	var found bool
	if err := h.look(func(m *fsm.Machine) { p, found = m.Message(nameOf(id)) }); err != nil {
		return nil, err
	}
	if !found {
		return nil, public(fsm.ErrUnknown, id.Dialer, id)
	}
	body, err := h.body(fsm.Delivery{Payload: p})
	switch {
	case errors.Is(err, journal.ErrNoPayload):
		return nil, public(fsm.ErrUnknown, id.Dialer, id) // it ended meanwhile
	case errors.Is(err, journal.ErrDamaged):
		return nil, &PeerError{Peer: id.Dialer, ID: id, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}
	}
	return body, err
}

// commitLast commits what was given before. It joins the next sync and isn't
// waited for.
func (h *Handler) commitLast() {
	if h.last != (fsm.Name{}) {
		h.tell(fsm.Commit{Name: h.last})
		h.last = fsm.Name{}
	}
}

// given makes the event of a delivery and notes that the application has it.
// False: it was abandoned on the way to the application, which never hears of it.
func (h *Handler) given(d fsm.Delivery) (Event, bool) {
	if !h.isNews(d) {
		return Event{}, false
	}
	e, ok := h.read(d)
	if ok && !e.Kind.Priority() && d.Kind.Ends() && !h.config.ExplicitCommit {
		h.last = d.Name
	}
	return e, ok
}

// isNews notes that the application has a delivery. False: it has no need of it.
func (h *Handler) isNews(d fsm.Delivery) bool {
	h.taken(d)
	if _, unread := h.unread[d.Name]; unread && d.Kind == fsm.RequestAbandoned {
		delete(h.unread, d.Name)
		return false
	}
	return !d.Kind.Ends() || !h.early.take(d.Name) // else committed before it was taken: it isn't told again
}

// taken tells the machine that there is room for the next delivery and, unless
// that is done explicitly, that the application has this one.
func (h *Handler) taken(d fsm.Delivery) {
	switch {
	case !h.config.ExplicitTake:
		h.tell(fsm.Taken{Name: d.Name})
	case d.Kind == fsm.RequestAbandoned:
		h.tell(fsm.Taken{Name: d.Name}) // of the request, if it wasn't
		h.tell(fsm.Taken{Name: d.Name})
	default:
		h.tell(fsm.Taken{})
	}
}

// read makes the event of a delivery, with the request or reply.
func (h *Handler) read(d fsm.Delivery) (Event, bool) {
	e := eventOf(d)
	if h.config.ExplicitTake {
		return e, true
	}
	var err error
	e.Body, err = h.body(d)
	switch {
	case errors.Is(err, ErrClosed):
		return Event{}, false
	case errors.Is(err, journal.ErrNoPayload) && d.Kind == fsm.RequestReceived:
		h.unread[d.Name] = struct{}{} // its abandonment follows
		return Event{}, false
	case err != nil:
		return h.alert(fsm.Notice{Kind: fsm.JournalTrouble, Peer: d.Peer, Name: d.Name, Detail: err.Error(), Time: d.Time}), true
	}
	return e, true
}

// leftByServe gives the next request that Serve took and ended without answering.
func (h *Handler) leftByServe() (Event, bool) {
	for h.waiting.count > 0 {
		d := h.waiting.next()
		if e, ok := h.given(d); ok {
			return e, true
		}
	}
	return Event{}, false
}

// body reads the request or reply of a delivery. Errors: ErrClosed and the journal's.
func (h *Handler) body(d fsm.Delivery) ([]byte, error) {
	if d.Payload.Size == 0 {
		return nil, nil
	}
	release, err := h.use()
	if err != nil {
		return nil, err
	}
	defer release()
	return h.journal.Payload(d.Payload.Number)
}

// alert makes the event of a notice.
func (h *Handler) alert(n fsm.Notice) Event {
	select {
	case h.loop.Commands <- mediator.Command{Input: fsm.Taken{}}: // there is room for the next
	default: // it has enough to do to find that by itself
	}
	return eventOfNotice(n)
}
