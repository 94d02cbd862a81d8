package fsm

import (
	"maps"
	"slices"
)

// finish ends the turn and does what it says.
func (w *world) finish() {
	w.t.Helper()
	w.ready = w.m.Ready(w.now)
	w.stored = nil
	w.apply()
	w.look()
	clear(w.dropped)
	if w.turns++; w.turns%16 == 0 {
		w.checkRestored()
	}
	for _, p := range w.m.peers {
		there := endedThere{epoch: p.responder.epoch}
		for seq := range uint64(60) {
			if p.responder.ended.has(seq) {
				there.seqs = append(there.seqs, seq)
			}
		}
		w.ended[p.id] = there
	}
}

// apply writes the batch, and settles calls whose payloads were staged.
func (w *world) apply() {
	r := w.ready
	for _, record := range r.Batch.Records {
		if record.Value == nil {
			delete(w.written, string(record.Key))
		} else {
			w.written[string(record.Key)] = record.Value
		}
	}
	for _, p := range r.Batch.Payloads {
		w.payloads[p.Number] = true
	}
	w.settle(r.Batch)
	for _, a := range r.Answers {
		for i, o := range w.staged[a.Call] {
			if a.Err != nil || a.Names[i].Tag != o.Tag {
				delete(w.payloads, o.Payload.Number)
			}
		}
		if p, ok := w.answers[a.Call]; ok && (a.Err != nil || len(a.Names) == 0) {
			delete(w.payloads, p.Number)
		}
		if name, ok := w.commits[a.Call]; ok && a.Err == nil {
			w.committed[name] = true
		}
		delete(w.staged, a.Call)
		delete(w.answers, a.Call)
		delete(w.commits, a.Call)
	}
}

// look checks everything that can be seen of a turn.
func (w *world) look() {
	w.t.Helper()
	for _, a := range w.ready.Actions {
		w.note("    %s", actionName(a))
	}
	for _, n := range w.ready.Notices {
		w.note("    notice %v: %s", n.Kind, n.Detail)
	}
	if broken := w.m.broken(); broken != "" {
		w.fail("the machine contradicts itself: %s", broken)
	}
	for _, a := range w.ready.Actions {
		w.heed(a)
	}
	w.ready.Actions = nil
	for s, o := range w.offers {
		c := w.m.conns[o.Conn]
		held := c != nil && slices.ContainsFunc(c.held, func(in Input) bool { return streamOf(in) == s })
		if c != nil && c.state == ConnUp && !held && !w.late[s] {
			w.fail("%s is neither accepted nor refused", inputName(o))
		}
	}
	if !w.ready.Batch.Empty() {
		w.checkPayloads()
	}
}

// checkPayloads: a payload is in the journal exactly as long as a record names
// it. What is on its way in or was staged for a call isn't named yet.
func (w *world) checkPayloads() {
	r := Restore(w.m.config)
	for _, k := range slices.Sorted(maps.Keys(w.written)) {
		if err := r.Record([]byte(k), w.written[k]); err != nil {
			w.fail("a record can't be read: %v", err)
		}
	}
	r.Done(w.now)
	for number := range w.payloads {
		if _, named := r.numbers[number]; !named {
			w.fail("payload %d stays in the journal, and no record names it", number)
		}
	}
	for number := range r.numbers {
		if !w.payloads[number] {
			w.fail("a record names payload %d, which isn't in the journal", number)
		}
	}
}

// disk is the machine that would be restored after a crash now.
func (w *world) disk() *Machine {
	if w.stored == nil {
		w.stored = restored(w.t, w.m.config, w.durable, w.now)
	}
	return w.stored
}
