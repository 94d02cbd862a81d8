package control

import (
	"errors"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// event writes an event as clients have it, with its body if they want that.
func (n *Node) event(h held, withBody bool) (*v1.Event, error) {
	e := &v1.Event{
		Seq: h.place, Kind: kinds[h.Kind], Lane: readable(h.Lane), Time: moment(h.Time), Deadline: moment(h.Deadline),
		Redelivered: h.Redelivered || h.given, PossiblySeen: h.PossiblySeen, Address: h.Address,
	}
	if h.ID != (parley.ID{}) {
		e.Id = h.ID.String()
	}
	if !h.Peer.IsZero() {
		e.Peer, e.Name = h.Peer.String(), n.name(h.Peer)
	}
	switch h.Kind {
	case parley.RequestReceived, parley.ReplyReceived:
		if h.Kind == parley.ReplyReceived {
			e.Outcome = "answered"
		}
		return e, n.fill(e, h, withBody)
	case parley.RequestAbandoned:
	case parley.ExchangeFailed:
		e.Outcome, e.Reason = outcome(h.Err)
	default:
		e.Kind, e.Notice, e.Count = v1.EventKind_EVENT_KIND_NOTICE, h.Kind.String(), count(h.Count)
		if h.Err != nil {
			e.Reason = readable(h.Err.Error())
		}
	}
	return e, nil
}

var kinds = map[parley.Kind]v1.EventKind{
	parley.RequestReceived:  v1.EventKind_EVENT_KIND_REQUEST,
	parley.RequestAbandoned: v1.EventKind_EVENT_KIND_ABANDONED,
	parley.ReplyReceived:    v1.EventKind_EVENT_KIND_REPLY,
	parley.ExchangeFailed:   v1.EventKind_EVENT_KIND_FAILED,
}

// fill puts the body into an event, or its size alone.
func (n *Node) fill(e *v1.Event, h held, withBody bool) error {
	if !withBody {
		e.Size = size(int64(n.sizeOf(h)))
		return nil
	}
	body, err := n.handler.Body(h.ID)
	switch {
	case errors.Is(err, parley.ErrUnknown), errors.Is(err, parley.ErrClosed):
		return failure(err)
	case err != nil: // which must not hide the events after it
		e.Damage, e.Size = readable(err.Error()), size(int64(n.sizeOf(h)))
		n.options.Logger.Error("an event comes without its body", "id", h.ID, "error", err)
		return nil
	}
	e.Body, e.Size = body, uint64(len(body))
	return nil
}

// sizeOf is the bytes of an event's body; 0 when the exchange has gone meanwhile.
func (n *Node) sizeOf(h held) int {
	x, err := n.handler.Exchange(h.ID)
	switch {
	case h.Kind.Priority() || err != nil:
		return 0
	case h.Kind == parley.RequestReceived:
		return int(x.RequestSize)
	case h.Kind == parley.ReplyReceived:
		return int(x.ReplySize)
	default:
		return 0
	}
}

// outcome says how an exchange made here failed, and why.
func outcome(err error) (how, reason string) {
	var rejected *parley.RejectedError
	switch {
	case errors.As(err, &rejected):
		return "rejected", readable(rejected.Reason)
	case errors.Is(err, parley.ErrExpired):
		return "expired", ""
	default:
		return "cancelled", ""
	}
}

// readable is what a peer sent as the API can give it: a lane has any bytes, a string of
// the API has UTF-8.
func readable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// moment is a time, nil for none.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

func size(n int64) uint64 { return uint64(max(n, 0)) }

// waiting is how long a call is to wait.
func waiting(asked *durationpb.Duration, otherwise time.Duration) (time.Duration, error) {
	if asked == nil {
		return otherwise, nil
	}
	d := asked.AsDuration()
	if asked.CheckValid() != nil || d < 0 || d > maxWait {
		return 0, invalid(errors.New("wait: want 0s to 300s"))
	}
	return d, nil
}
