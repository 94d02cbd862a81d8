package simulate

import (
	"time"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// attempt is what is sent until its other side answers: a request of this node's, or
// its reply to one.
type attempt struct {
	tag  wire.Tag
	mine bool
}

func attemptOf(f wire.Frame) attempt { return attempt{f.Tag, f.Kind != wire.Reply} }

// try is when an attempt was made last.
type try struct {
	conn     fsm.Conn
	stream   fsm.Stream
	at       time.Time
	heard    bool // anything, on its stream or of its connection, since
	invited  bool // by a CONTINUE
	timeouts int  // since the other side's last acknowledgement
}

// noteWords notes what was heard in a turn on the streams of attempts: what is sent
// again then has another cause than that nothing came.
func (n *node) noteWords(inputs []fsm.Input) {
	for _, in := range inputs {
		switch in := in.(type) {
		case fsm.Arrived:
			n.heardOn(in.Stream, in.Frame.Kind == wire.Ack && in.Frame.Of == wire.OfRequest)
			n.heardOf(&in.Frame)
		case fsm.Offered:
			n.heardOn(in.Stream, false)
			n.heardOf(&in.Frame)
		case fsm.Closed:
			n.heardOn(in.Stream, false)
		case fsm.Progress:
			n.heardOn(in.Stream, false)
		case fsm.Renew:
			clear(n.tries)
			delete(n.dials, in.Peer)
		case fsm.Listed:
			delete(n.dials, in.Peer)
		}
	}
}

func (n *node) heardOn(stream fsm.Stream, acknowledged bool) {
	for a, t := range n.tries {
		if t.stream == stream {
			t.heard = true
			if acknowledged && a.mine {
				t.timeouts = 0
			}
			n.tries[a] = t
		}
	}
}

// heardOf heeds what a frame says beyond its stream: a request is asked for again, or
// made anew, or all that was sent is of an epoch that is over.
func (n *node) heardOf(f *wire.Frame) {
	switch {
	case f.Kind == wire.Request:
		delete(n.tries, attempt{f.Tag, false})
	case f.Kind == wire.Resume || f.Kind == wire.Reply: // which may find no room
		a := attempt{f.Tag, f.Kind == wire.Reply}
		if t, found := n.tries[a]; found {
			t.heard = true
			n.tries[a] = t
		}
	case f.Kind == wire.Reject && f.Refusal == wire.Fenced:
		clear(n.tries)
	}
}

// checkPatience sees that what isn't acknowledged is sent again on its connection only
// after a while, which doubles each time.
func (n *node) checkPatience(s fsm.Send) {
	a := attemptOf(s.Frame)
	t := n.tries[a]
	asked := !a.mine && s.Stream%2 != 0 // by a RESUME, which may have been held back until now
	if t.conn == s.Conn && t.stream != s.Stream && !t.heard && !asked {
		least := n.config.AckTimeout << min(t.timeouts, 5)
		if t.invited {
			least = n.config.AckTimeout
		}
		if gap := n.w.now.Sub(t.at); gap < least {
			n.w.breaks(RetriesDecay, "%v sends %v of %x again after %v, with %d tries before that nobody acknowledged", n, s.Frame.Kind, a.tag[:3], gap, t.timeouts)
		}
		t.timeouts++
	}
	t.invited = t.conn == s.Conn && t.stream == s.Stream
	t.conn, t.stream, t.at, t.heard = s.Conn, s.Stream, n.w.now, n.find(s.Conn).past[s.Stream] // whose end came in the same turn
	n.tries[a] = t
}
