package fsm

import (
	"bytes"
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/wire"
)

// enqueue makes requests: all or none.
func (m *Machine) enqueue(now time.Time, in Enqueue) {
	names, at, err := m.admit(in.Requests)
	if err != nil {
		m.ready.Answers = append(m.ready.Answers, Answer{Call: in.Call, At: at, Err: err})
		return
	}
	for i, r := range in.Requests {
		if names[i] != (Name{}) {
			continue // known by its key
		}
		if known, found := m.keys[key{r.Peer, r.Key}]; found && r.Key != "" {
			names[i] = known.name // by an earlier one of the same call
			continue
		}
		names[i] = m.make(now, r).name
	}
	m.sync()
	m.answer(in.Call, nil, names...)
}

// admit checks requests before anything is changed. It returns the names of
// those that exist already, by their keys; or which of them is refused, and why.
func (m *Machine) admit(requests []Outgoing) (names []Name, at int, err error) {
	a := admission{m: m, fresh: map[Peer]int{}}
	names = make([]Name, len(requests))
	for i, r := range requests {
		if names[i], err = a.add(r); err != nil {
			return nil, i, err
		}
	}
	return names, 0, a.whole()
}

// admission is what the requests of one call add up to, at most as many as
// MaxQueued admits.
type admission struct {
	m      *Machine
	fresh  map[Peer]int      // requests, one for each call
	hashes map[key]wire.Hash // of those with a key, likewise for each call
	tags   []wire.Tag        // one for each exchange to be
	bytes  int64
}

// add checks one request beside those before it. It returns the name of the
// exchange that its key stands for; the zero name when there is none yet.
func (a *admission) add(r Outgoing) (Name, error) {
	m := a.m
	switch {
	case r.Peer == m.config.Self:
		return Name{}, ErrSelf
	case m.crowded(r.Peer):
		return Name{}, ErrQueueFull
	case m.strange(r.Peer):
		return Name{}, ErrNotListed
	}
	if name, known, err := a.byKey(r); known {
		return name, err
	}
	p := m.peer(r.Peer)
	switch {
	case p.torn != nil:
		return Name{}, p.dialer.halt
	case !p.listed:
		return Name{}, ErrNotListed
	case p.dialer.halt != nil:
		return Name{}, p.dialer.halt
	case !r.Dialable && p.usable() == nil:
		return Name{}, ErrNoAddress
	case m.made[r.Tag] != nil || m.aside[r.Tag] != nil:
		return Name{}, ErrTagReused
	}
	a.tags = append(a.tags, r.Tag)
	a.fresh[r.Peer]++
	a.bytes += r.Payload.Size
	d, n := &p.dialer, a.fresh[r.Peer]
	if d.kept+n > m.config.MaxQueuedPerPeer || d.next+uint64(n)-d.low > wire.MaxOpen {
		return Name{}, ErrQueueFull
	}
	return Name{}, nil
}

// byKey looks a request's key up, among the exchanges there are and those of the
// same call, which have no names yet.
func (a *admission) byKey(r Outgoing) (name Name, known bool, err error) {
	if r.Key == "" {
		return Name{}, false, nil
	}
	k := key{r.Peer, r.Key}
	of, found := a.m.keys[k]
	if !found {
		of.hash, found = a.hashes[k]
	}
	switch {
	case !found:
		if a.hashes == nil {
			a.hashes = map[key]wire.Hash{}
		}
		a.hashes[k] = r.Payload.Hash
		return Name{}, false, nil
	case of.hash != r.Payload.Hash:
		return Name{}, true, ErrKeyReused
	}
	return of.name, true, nil
}

// whole checks what the call adds in total.
func (a *admission) whole() error {
	m := a.m
	switch {
	case len(a.tags) == 0:
		return nil
	case m.room.full:
		return ErrDiskFull
	case a.repeatsTag():
		return ErrTagReused
	case len(m.made)+len(m.aside)+len(a.tags) > m.config.MaxQueued || m.room.queuedBytes+a.bytes > m.config.MaxStored:
		return ErrQueueFull
	}
	return nil
}

// repeatsTag reports whether two requests of the call have one tag.
func (a *admission) repeatsTag() bool {
	count := len(a.tags)
	slices.SortFunc(a.tags, func(s, t wire.Tag) int { return bytes.Compare(s[:], t[:]) })
	a.tags = slices.Compact(a.tags)
	return len(a.tags) < count
}

// make gives a request its number and its place in its lane.
func (m *Machine) make(now time.Time, r Outgoing) *outbound {
	p := m.peer(r.Peer)
	d := &p.dialer
	if d.epoch == 0 {
		d.epoch = newEpoch(now, 0)
	}
	if len(r.Addresses) > 0 {
		p.addresses = r.Addresses
	}
	x := &outbound{
		peer: p, seq: d.next, name: Name{m.config.Self, r.Tag}, lane: r.Lane, key: r.Key, deadline: r.Deadline.Truncate(time.Millisecond), made: now,
		payload: m.store(r.Payload), state: Queued, waited: r.Waited,
	}
	x.timer.owner = x
	d.next++
	d.kept++
	m.save(d)
	m.save(x)
	m.enter(x)
	if r.Key != "" {
		m.keys[key{p.id, r.Key}] = keyed{x.name, x.payload.Hash}
	}
	if d.lanes[x.lane][0] == x {
		m.start(now, x)
	}
	x.arm(m)
	m.touch(p)
	return x
}

// enter puts an exchange among the open ones.
func (m *Machine) enter(x *outbound) {
	d := &x.peer.dialer
	m.made[x.name.Tag] = x
	d.open[x.seq] = x
	d.lanes[x.lane] = append(d.lanes[x.lane], x)
	if !x.acked {
		d.unacknowledged++
	}
	if x.outcome == 0 {
		m.room.queuedBytes += x.payload.Size
	}
}

// leave ends an exchange's hold on its number and its lane; the next of the lane
// starts by itself.
func (m *Machine) leave(now time.Time, x *outbound) {
	d := &x.peer.dialer
	if d.open[x.seq] != x {
		return
	}
	delete(d.open, x.seq)
	for d.low < d.next && d.open[d.low] == nil {
		d.low++
	}
	if !x.acked {
		d.unacknowledged--
	}
	if len(d.open) == 0 {
		x.peer.addresses = nil // the next request says where to dial, or the allow list
	}
	x.waiting = false
	x.retry = time.Time{}
	m.wakeAt(&x.timer, time.Time{})
	m.touch(x.peer)

	lane := d.lanes[x.lane]
	at := slices.Index(lane, x)
	lane = slices.Delete(lane, at, at+1)
	if len(lane) == 0 {
		delete(d.lanes, x.lane)
		return
	}
	d.lanes[x.lane] = lane
	if at == 0 {
		m.start(now, lane[0])
	}
}
