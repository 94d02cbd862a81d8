package parley

import (
	"errors"
	"slices"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/audit"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/mediator"
)

// followAllowList has the node act on every change of its allow list and tell of
// trouble with it, until cancel is called.
func (h *Handler) followAllowList() (cancel func()) {
	noMoreChanges := h.allow.OnChange(h.allowListChanged)
	noMoreTrouble := h.allow.OnTrouble(h.allowListTroubled)
	return func() {
		noMoreChanges()
		noMoreTrouble()
	}
}

// admitted is the allow list as the machine's first inputs.
func (h *Handler) admitted() []fsm.Input {
	var inputs []fsm.Input
	if h.allow.IsEveryone() {
		inputs = append(inputs, fsm.Everyone{})
	}
	for _, member := range h.allow.Members() {
		inputs = append(inputs, listedOf(member))
	}
	return append(inputs, fsm.Tick{})
}

// allowListChanged passes a change on: what is open with whoever was removed is
// suspended. The P2P protocol, which watches the list too, has disconnected it by
// now. Whoever changed the list waits for this, so that it waits for nobody but
// the mediator, and the mediator for no one who could change the list.
func (h *Handler) allowListChanged(change allowlist.Change) {
	<-h.started
	if h.loop == nil {
		return // New failed
	}
	var inputs []fsm.Input
	for _, m := range change.Removed {
		inputs = append(inputs, h.unlistedOf(m))
	}
	for _, m := range slices.Concat(change.Added, change.Changed) { // another address may be the one that answers
		inputs = append(inputs, listedOf(m))
	}
	for _, in := range inputs {
		if _, err := h.call(mediator.Command{Input: in}); errors.Is(err, ErrClosed) {
			return // closed: the next run finds the difference
		}
	}
	h.writeDown(change)
}

func listedOf(m allowlist.Member) fsm.Input {
	return fsm.Listed{Peer: peerOf(m.ID), Limits: fsm.Limits{
		ExchangesPerSecond: m.Limits.ExchangesPerSecond,
		BytesPerSecond:     m.Limits.BytesPerSecond,
		MaxOpen:            m.Limits.MaxOpen,
		MaxStored:          m.Limits.MaxStored,
	}}
}

// unlistedOf shuts a member out, unless everyone is let in: then it has no limits
// of its own any more.
func (h *Handler) unlistedOf(m allowlist.Member) fsm.Input {
	if h.allow.IsEveryone() {
		return fsm.Listed{Peer: peerOf(m.ID)}
	}
	return fsm.Unlisted{Peer: peerOf(m.ID)}
}

// allowListTroubled tells the application: the list stays as it was.
func (h *Handler) allowListTroubled(err error) {
	h.aside.put(apart{Event: Event{Kind: AllowListTrouble, Time: time.Now(), Count: 1, Err: err}})
}

// openAudit opens the log of the allow list's changes, and with it finds those made
// while this node wasn't running.
func (h *Handler) openAudit() (err error) {
	if h.config.Dir != "" {
		h.audit, err = audit.Open(h.config.Dir, h.allow.Members(), time.Now())
	}
	return err
}

// writeDown logs what became of each member and who did it, and writes it into the
// directory.
func (h *Handler) writeDown(change allowlist.Change) {
	for _, part := range []struct {
		what    string
		members []allowlist.Member
	}{{"removed", change.Removed}, {"added", change.Added}, {"changed", change.Changed}} {
		for _, m := range part.members {
			h.log.Info("allow list: member "+part.what, "peer", m.ID, "name", m.Name, "by", change.By)
		}
	}
	if h.audit == nil {
		return
	}
	if err := h.audit.Record(change); err != nil && !errors.Is(err, audit.ErrClosed) { // then the next run finds it
		h.log.Error("the log of the allow list can't be written", "error", err)
	}
}

func (h *Handler) closeAudit() error {
	if h.audit == nil {
		return nil
	}
	return h.audit.Close()
}
