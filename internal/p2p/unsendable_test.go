package p2p

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/wire"
)

// What this node can't send because of its own journal would be tried again for
// ever: the operator is told.
func TestOperatorHearsOfWhatThisNodeCannotSend(t *testing.T) {
	damaged := func([]byte) ([]byte, error) { return nil, errors.New("checksum differs") }
	cutShort := func(body []byte) ([]byte, error) { return body[:len(body)-1], nil }
	unwritable := func(f *wire.Frame) { f.Lane = strings.Repeat("x", wire.MaxLane+1) }
	for name, test := range map[string]struct {
		size   int
		damage func([]byte) ([]byte, error)
		change func(*wire.Frame)
	}{
		"a small payload that is damaged":    {size: 100, damage: damaged},
		"a small payload that is cut short":  {size: 100, damage: cutShort},
		"a large payload that is damaged":    {size: 1 << 20, damage: damaged},
		"a large payload that is cut short":  {size: 1 << 20, damage: cutShort},
		"a payload of another size":          {size: 100, change: func(f *wire.Frame) { f.Size++ }},
		"a frame beyond the protocol limits": {size: 100, change: unwritable},
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			a, b := newNode(t, log.at(slog.LevelError)), newNode(t)
			a.admit(b)
			b.admit(a)
			ac, bc := connect(a, b)
			request, payload := a.request(1, bytes.Repeat([]byte("secret"), test.size/6+1))
			a.payloads.damage = test.damage
			if test.change != nil {
				test.change(&request)
			}
			a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
			for closed := false; !closed; {
				select {
				case in := <-a.Receiver():
					_, closed = in.(fsm.Closed)
				case in := <-b.Receiver(): // the header of a payload that is cut short
					if offered, ok := in.(fsm.Offered); ok {
						b.do(fsm.Accept{Conn: bc, Stream: offered.Stream})
					}
				}
			}
			notice := a.wantNotice(fsm.JournalTrouble)
			if notice.Peer != b.peer() || notice.Detail == "" || strings.Contains(notice.Detail, "secret") {
				t.Errorf("noticed %+v", notice)
			}
			if log.lines() != 1 {
				t.Errorf("%d errors were logged, want 1", log.lines())
			}
		})
	}
}

// A payload may be dropped while its frame waits, since its exchange has ended.
func TestPayloadThatIsGoneOnlyEndsItsStream(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			var log logged
			a, b := newNode(t, log.at(slog.LevelInfo)), newNode(t)
			a.admit(b)
			b.admit(a)
			ac, _ := connect(a, b)
			request, payload := a.request(1, make([]byte, size))
			a.payloads.forget(payload.Number)
			a.do(fsm.Send{Conn: ac, Stream: 2, Frame: request, Payload: payload})
			if got := want[fsm.Closed](a); got.Stream != 2 {
				t.Errorf("closed %+v", got)
			}
			// Notices come in order: there was none before this one.
			a.notices.post(fsm.Notice{Kind: fsm.ConnectionLimit})
			a.wantNotice(fsm.ConnectionLimit)
			if log.lines() != 0 {
				t.Errorf("%d lines were logged, want none", log.lines())
			}
		})
	}
}

// logged counts what is logged.
type logged struct {
	slog.Handler
	mu    sync.Mutex
	count int
}

// at has a node log here from a level on.
func (l *logged) at(level slog.Level) func(*Config) {
	l.Handler = slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: level})
	return func(c *Config) { c.Logger = slog.New(l) }
}

func (l *logged) Handle(context.Context, slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return nil
}

func (l *logged) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
