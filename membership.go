package parley

import (
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/internal/fsm"
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
	for _, member := range change.Removed {
		h.noteChange("removed", member, change)
		in := fsm.Input(fsm.Unlisted{Peer: peerOf(member.ID)})
		if h.allow.IsEveryone() { // it may still come, with no limits of its own
			in = fsm.Listed{Peer: peerOf(member.ID)}
		}
		if h.pass(in) != nil {
			return // closed
		}
	}
	for _, member := range change.Added {
		h.noteChange("added", member, change)
		if h.pass(listedOf(member)) != nil {
			return
		}
	}
	for _, member := range change.Changed { // another address may be the one that answers
		h.noteChange("changed", member, change)
		if h.pass(listedOf(member)) != nil {
			return
		}
	}
}

func listedOf(m allowlist.Member) fsm.Input {
	return fsm.Listed{Peer: peerOf(m.ID), Limits: fsm.Limits{
		ExchangesPerSecond: m.Limits.ExchangesPerSecond,
		BytesPerSecond:     m.Limits.BytesPerSecond,
		MaxOpen:            m.Limits.MaxOpen,
		MaxStored:          m.Limits.MaxStored,
	}}
}

// noteChange logs what became of a member, and who did it.
func (h *Handler) noteChange(what string, m allowlist.Member, c allowlist.Change) {
	h.log.Info("allow list: member "+what, "peer", m.ID, "name", m.Name, "by", c.By)
}

// allowListTroubled tells the application: the list stays as it was.
func (h *Handler) allowListTroubled(err error) {
	h.aside.put(apart{Event: Event{Kind: AllowListTrouble, Time: time.Now(), Count: 1, Err: err}})
}
