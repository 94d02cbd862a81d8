package mediator

import (
	"slices"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

const (
	// summaryEvery bounds how often alerts of one kind about one peer are told: after
	// the first they are put together for as long.
	summaryEvery = time.Minute
	// maxChanges bounds the alerts told at once, meanwhile, because they say something
	// else than the last: another rule, another limit. More wait for the summary.
	maxChanges = 8
	// maxAlerts bounds the peers told apart in alerts of one kind. Beyond it they
	// become one alert about nobody in particular.
	maxAlerts = 256
	// maxStrangers bounds the peers told apart where they may be anybody: IDs cost
	// nothing. Beyond it, as beyond maxAlerts.
	maxStrangers = 16
)

// alerts is the way to the application's priority channel: what an operator acts
// on comes at once, what repeats itself as the first, each change, and a summary
// with a count. It never blocks and never drops: what finds no room in the
// channel waits, put together with its like.
type alerts struct {
	topics map[topicKey]*topic    // of each kind at most maxAlerts, and one about nobody
	peers  map[fsm.NoticeKind]int // topics of a kind, at most maxAlerts+1
	ready  []*topic               // have something to be told, the oldest first: of each kind at most maxAlerts+1
	at     time.Time              // when the next summary is due; zero: none waits
}

type topicKey struct {
	kind fsm.NoticeKind
	peer fsm.Peer
}

// topic is the alerts of one kind about one peer.
type topic struct {
	key     topicKey
	earlier []fsm.Notice // to be told before next, each of another substance: at most maxChanges
	next    fsm.Notice   // to be told, with all of their count; none: Count is 0
	isReady bool
	told    string    // the last detail
	since   time.Time // the first that wasn't put together with others; until a summary is due
	changes int
}

// add takes a notice in.
func (a *alerts) add(now time.Time, n fsm.Notice) {
	n.Count = max(n.Count, 1)
	t := a.topic(now, n)
	n.Peer = t.key.peer
	if n.Peer == "" && t.next.Count+n.Count > 1 {
		n.Until = time.Time{}
	}
	if t.isReady && (n.Detail != t.next.Detail || n.Name != t.next.Name) && len(t.earlier) < maxChanges {
		t.earlier = append(t.earlier, t.next) // of the same turn, or there was no room yet
		t.next = fsm.Notice{}
	}
	n.Count += t.next.Count
	t.next = n
	switch {
	case !repeats(n.Kind), t.since.IsZero():
		a.tell(t)
	case n.Detail != t.told && t.changes < maxChanges:
		t.changes++
		a.tell(t)
	case !t.isReady:
		a.at = sooner(a.at, t.since.Add(summaryEvery))
	}
}

// repeats reports whether a kind of notice comes again and again for one cause;
// the others tell each that something has changed.
func repeats(k fsm.NoticeKind) bool {
	switch k {
	case fsm.MessageDropped, fsm.ConnectionLimit, fsm.StrangerRefused, fsm.IdentityMismatch, fsm.PeerDiffers:
		return true
	}
	return false
}

// topic finds what a notice belongs to, or begins it.
func (a *alerts) topic(now time.Time, n fsm.Notice) *topic {
	if a.topics == nil {
		a.topics, a.peers = map[topicKey]*topic{}, map[fsm.NoticeKind]int{}
	}
	most := maxAlerts
	if n.Kind == fsm.StrangerRefused || n.Kind == fsm.ConnectionLimit {
		most = maxStrangers
	}
	k := topicKey{n.Kind, n.Peer}
	if a.topics[k] == nil && a.peers[n.Kind] >= most {
		a.forget(now)
	}
	if a.topics[k] == nil && a.peers[n.Kind] >= most {
		k.peer = ""
	}
	t := a.topics[k]
	if t == nil {
		t = &topic{key: k}
		a.topics[k] = t
		a.peers[k.kind]++
	}
	return t
}

// forget ends the topics of which nothing more was heard.
func (a *alerts) forget(now time.Time) {
	for k, t := range a.topics {
		if t.next.Count == 0 && now.Sub(t.since) >= summaryEvery {
			delete(a.topics, k)
			a.peers[k.kind]--
		}
	}
}

func (a *alerts) tell(t *topic) {
	if !t.isReady {
		t.isReady = true
		a.ready = append(a.ready, t)
	}
}

// pass moves alerts to the application as far as there is room, and with them
// the summaries that are due.
func (a *alerts) pass(now time.Time, to chan<- fsm.Notice) {
	if !a.at.IsZero() && !now.Before(a.at) {
		a.summarize(now)
	}
	for len(a.ready) > 0 {
		t := a.ready[0]
		first := &t.next
		if len(t.earlier) > 0 {
			first = &t.earlier[0]
		}
		select {
		case to <- *first:
		default:
			return
		}
		if len(t.earlier) > 0 {
			t.earlier = slices.Delete(t.earlier, 0, 1)
			continue
		}
		if now.Sub(t.since) >= summaryEvery {
			t.since, t.changes = now, 0
		}
		t.told, t.next, t.isReady = t.next.Detail, fsm.Notice{}, false
		a.ready = slices.Delete(a.ready, 0, 1)
	}
}

// summarize tells what was put together for long enough, the oldest first.
func (a *alerts) summarize(now time.Time) {
	a.at = time.Time{}
	var due []*topic
	for _, t := range a.topics {
		switch at := t.since.Add(summaryEvery); {
		case t.next.Count == 0 || t.isReady:
		case at.After(now):
			a.at = sooner(a.at, at)
		default:
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *topic) int { return a.since.Compare(b.since) })
	for _, t := range due {
		a.tell(t)
	}
}
