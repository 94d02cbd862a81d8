package simulate

import (
	"errors"
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
)

// way is that of frames from one node to another. While it is cut they wait, as
// TCP's do, and so does the news that a connection has ended.
type way struct {
	place    uint64
	cutUntil time.Time
}

func (w *world) way(from, to *node) *way {
	k := [2]int{from.index, to.index}
	found := w.ways[k]
	if found == nil {
		found = &way{place: uint64(from.index)<<32 | uint64(to.index) + 1}
		w.ways[k] = found
	}
	return found
}

// end is one node's end of a connection. The two ends break apart from each
// other: what one has sent may still arrive after it thinks that all is over.
type end struct {
	node  *node
	other *end
	id    fsm.Conn
	open  bool                // this end knows of nothing wrong
	dead  bool                // nothing that is sent on it arrives
	order []*half             // one for each stream
	past  map[fsm.Stream]bool // this node's own that are over, one for each stream
	sent  uint64
	come  uint64 // the greatest number of a frame that came
	// greeted: its HELLO has come. Before, a dialer may have two frames on a stream.
	greeted bool
}

// half is one end's view of a stream, both ways.
type half struct {
	end     *end
	id      fsm.Stream
	other   *half
	open    bool
	dead    bool      // nothing that is sent on it arrives
	arrives time.Time // of the last thing sent to this end: order is kept
	flying  int       // frames on their way to this end
	stale   []message // that are to come once more when it is over; one for each frame that was chosen so
	offered *message  // a large payload that hasn't been read
	sending bool      // a large payload of this end is on its way
}

func (n *node) find(id fsm.Conn) *end {
	for _, e := range n.ends {
		if e.id == id && e.open {
			return e
		}
	}
	return nil
}

// connected reports whether anything is open with another.
func (n *node) connected(other *node) bool {
	for _, e := range n.ends {
		if e.open && e.other.node == other {
			return true
		}
	}
	return false
}

func (n *node) half(conn fsm.Conn, stream fsm.Stream) *half {
	if e := n.find(conn); e != nil {
		for _, h := range e.order {
			if h.id == stream && h.open {
				return h
			}
		}
	}
	return nil
}

func (n *node) act(a fsm.Action) {
	w := n.w
	switch a := a.(type) {
	case fsm.Dial:
		n.dial(a)
	case fsm.Send:
		if w.config.Trace {
			w.note("%v -> %s", n, describe(a))
		}
		if e := n.find(a.Conn); e != nil {
			e.send(a)
		}
	case fsm.Accept:
		if h := n.half(a.Conn, a.Stream); h != nil && h.offered != nil {
			h.accept()
		}
	case fsm.Reset:
		if h := n.half(a.Conn, a.Stream); h != nil {
			h.end.close(h)
			h.tellReset()
		}
	case fsm.Disconnect:
		if e := n.find(a.Conn); e != nil {
			e.disconnect(a.Graceful)
		}
	case fsm.Shun:
		for _, e := range append([]*end(nil), n.ends...) {
			if e.open && e.other.node.id == a.Peer && !a.Until.IsZero() {
				e.sever(errors.New("shunned"), false)
			}
		}
	}
}

// dial opens a connection, unless nobody is there, or lets this node in.
func (n *node) dial(a fsm.Dial) {
	w, life := n.w, n.life
	other := w.byID[a.Peer]
	out, back := w.way(n, other), w.way(other, n)
	s := w.dice.next(DialFailed, out.place)
	n.checkDial(a.Peer)
	there := n.book[other] == other.place
	fails := w.chance(s, w.config.Faults.DialErr)
	if fails {
		w.strike(s, there && other.turn != nil && !other.unlisted[n], "a dial of %v to %v fails", n, other)
	}
	wait := time.Millisecond + w.dice.within(s.as(latency), 50*time.Millisecond)
	if out.cutUntil.After(w.now) || back.cutUntil.After(w.now) {
		fails, wait = true, 5*time.Second
	}
	w.after(wait, func() {
		switch {
		case n.life != life || n.turn == nil:
		case fails || !there || other.turn == nil || other.unlisted[n] || n.unlisted[other]:
			d := n.dials[a.Peer]
			d.failed++
			n.dials[a.Peer] = d
			n.post(fsm.DialFailed{Peer: a.Peer, Err: errors.New("refused")})
		default:
			n.connect(other)
		}
	})
}

func (n *node) connect(other *node) {
	w := n.w
	w.nextID++
	here := &end{node: n, id: fsm.Conn(w.nextID), open: true, past: map[fsm.Stream]bool{}}
	w.nextID++
	there := &end{node: other, id: fsm.Conn(w.nextID), open: true, past: map[fsm.Stream]bool{}, other: here}
	here.other = there
	n.ends, other.ends = append(n.ends, here), append(other.ends, there)
	delete(n.dials, other.id)
	delete(other.dials, n.id)
	w.stamp(5, uint64(n.index), uint64(other.index))
	w.note("%v dials %v: connections %d, %d", n, other, here.id, there.id)
	n.post(fsm.Connected{Conn: here.id, Peer: other.id, Dialed: true, Address: "there"})
	other.post(fsm.Connected{Conn: there.id, Peer: n.id, Address: "here"})
}

// sever breaks the connection: this end knows now, the other later, and takes
// meanwhile what is still in flight.
func (e *end) sever(err error, halfOpen bool) {
	w := e.node.w
	if e.open {
		e.ended(fsm.Disconnected{Conn: e.id, Err: err})
	}
	way := w.way(e.node, e.other.node)
	wait := w.dice.within(w.dice.next(latency, way.place), 3*time.Second)
	if halfOpen {
		wait += 45 * time.Second
	}
	if at := way.cutUntil; at.After(w.now) {
		wait += at.Sub(w.now)
	}
	w.after(wait, func() {
		if o := e.other; o.open {
			o.ended(fsm.Disconnected{Conn: o.id, Err: err})
		}
	})
}

// silence has both ends carry nothing more: they find out, in the end.
func (e *end) silence(most time.Duration) {
	w := e.node.w
	if !e.open {
		return
	}
	e.dead, e.other.dead = true, true
	way := w.way(e.node, e.other.node)
	w.after(most+w.dice.within(w.dice.next(latency, way.place), time.Minute), func() {
		if e.open {
			e.sever(errors.New("found dead"), false)
		} else if e.other.open {
			e.other.sever(errors.New("found dead"), false)
		}
	})
}

// ended is the end of this end: the node hears of it, and then of whatever was
// to come once more.
func (e *end) ended(in fsm.Disconnected) {
	n := e.node
	e.open = false
	for i, other := range n.ends {
		if other == e {
			n.ends = append(n.ends[:i:i], n.ends[i+1:]...)
			break
		}
	}
	for _, h := range e.order {
		h.over()
	}
	delete(n.dials, e.other.node.id) // what counts as a failure begins anew
	n.post(in)
}

// disconnect closes the connection; gracefully once all that was sent, by either
// side, has come.
func (e *end) disconnect(graceful bool) {
	w := e.node.w
	if !graceful {
		e.sever(errors.New("closed at once"), false)
		return
	}
	wait := time.Millisecond
	for _, h := range e.order {
		wait = max(wait, h.other.arrives.Sub(w.now)+time.Millisecond, h.arrives.Sub(w.now)+time.Millisecond)
	}
	if wait > 5*time.Second { // it is closed after a while, whatever is left
		w.after(5*time.Second, func() {
			if e.open {
				e.sever(nil, false)
			}
		})
		return
	}
	w.after(wait, func() {
		if !e.open {
			return
		}
		clean := e.other.open && e.other.node.turn != nil && !e.dead
		for _, h := range e.order {
			clean = clean && !h.dead
		}
		e.ended(fsm.Disconnected{Conn: e.id, Clean: clean})
		if e.other.open && !e.dead {
			e.other.ended(fsm.Disconnected{Conn: e.other.id})
		} else if e.other.open {
			e.other.silence(0)
		}
	})
}
