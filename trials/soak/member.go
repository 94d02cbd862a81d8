package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// remembered bounds the ended exchanges that a node remembers, so that the memory
// for them is full within the first quarter.
const remembered = 500

// member is a node and its application.
type member struct {
	dir     string
	key     identity.Key
	list    *allowlist.List
	idle    time.Duration // Config.IdleTimeout
	address string        // where it listens, each time
	books   *books

	mu      sync.RWMutex // held to write while the node is made again
	node    *parley.Handler
	serving sync.WaitGroup
}

func newMember(dir string, idle time.Duration, b *books) (*member, error) {
	list, err := allowlist.New()
	if err != nil {
		return nil, err
	}
	m := &member{dir: dir, list: list, idle: idle, address: "127.0.0.1:0", books: b}
	if m.key, err = identity.LoadOrGenerate(filepath.Join(dir, "key")); err != nil {
		return nil, err
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	m.address = m.node.Addresses()[0]
	return m, nil
}

// open makes the node and serves it.
func (m *member) open() (err error) {
	m.node, err = parley.New(m.address, m.key, parley.Config{
		AllowList: m.list, Dir: filepath.Join(m.dir, "journal"),
		IdleTimeout: m.idle, RetryMax: time.Second, PollMax: time.Second,
		MaxArrivalsPerSecondPerIP: 100, History: remembered,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	m.serving.Go(m.serve)
	return nil
}

// again closes the node and makes it anew.
func (m *member) again() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.shut(); err != nil {
		return err
	}
	return m.open()
}

// shut closes the node and waits for its application.
func (m *member) shut() error {
	err := m.node.Close()
	m.serving.Wait()
	return err
}

// use calls f with the node, which isn't closed meanwhile.
func (m *member) use(f func(*parley.Handler) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return f(m.node)
}

// serve is the application: it answers as the request asks it to, and keeps the
// books.
func (m *member) serve() {
	for e := range m.node.Events(context.Background()) { // until it is closed
		switch {
		case e.Kind == parley.RequestReceived:
			if err := m.answer(e); err != nil && !expected(err) {
				m.books.wrong("%s could not be answered: %v", e.ID, err)
			}
		case e.Kind == parley.ReplyReceived, e.Kind == parley.ExchangeFailed:
			m.books.ended(e)
		case e.Kind.Priority() && e.Kind != parley.PeerSuspended && e.Kind != parley.StrangerRefused && e.Kind != parley.MessageDropped:
			m.books.wrong("%s: %v", e.Kind, e.Err)
		}
	}
}

func (m *member) answer(e parley.Event) error {
	word, _, _ := strings.Cut(string(e.Body[:min(len(e.Body), 16)]), " ")
	switch word {
	case "reject":
		return m.node.Reject(e.ID, "as you wish")
	case "wait": // for its end
		return nil
	}
	return m.node.Reply(e.ID, e.Body)
}

// expected is what may well come of an answer: the request was given up, or
// answered by a run before, or the node is being closed.
func expected(err error) bool {
	return errors.Is(err, parley.ErrAbandoned) || errors.Is(err, parley.ErrAnswered) ||
		errors.Is(err, parley.ErrUnknown) || errors.Is(err, parley.ErrClosed)
}

// books are the requests that were accepted and haven't ended.
type books struct {
	mu       sync.Mutex
	open     map[parley.ID]time.Time // when they were made: those of the last seconds
	ends     map[parley.ID]struct{}  // told within the last minute, and before
	older    map[parley.ID]struct{}  // of the minute before
	turned   time.Time
	done     uint64
	outcomes map[string]uint64 // by kind: four
	faults   []string          // the first few
}

// maxFaults bounds the faults that are told.
const maxFaults = 20

func newBooks() *books {
	return &books{open: map[parley.ID]time.Time{}, ends: map[parley.ID]struct{}{}, older: map[parley.ID]struct{}{}, outcomes: map[string]uint64{}}
}

// made notes a request that was accepted. Its end may have been quicker.
func (b *books) made(id parley.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.hasEnded(id) {
		b.open[id] = time.Now()
	}
}

// ended notes an end, which may come again when a node was closed in between.
func (b *books) ended(e parley.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hasEnded(e.ID) {
		if !e.Redelivered {
			b.fault("%s has ended a second time: %v", e.ID, e.Err)
		}
		return
	}
	delete(b.open, e.ID)
	if now := time.Now(); now.Sub(b.turned) > time.Minute {
		b.older, b.ends, b.turned = b.ends, map[parley.ID]struct{}{}, now
	}
	b.ends[e.ID] = struct{}{}
	b.done++
	b.outcomes[outcome(e)]++
}

func (b *books) hasEnded(id parley.ID) bool {
	_, lately := b.ends[id]
	_, before := b.older[id]
	return lately || before
}

func outcome(e parley.Event) string {
	switch {
	case e.Kind == parley.ReplyReceived:
		return "answered"
	case errors.Is(e.Err, parley.ErrRejected):
		return "rejected"
	case errors.Is(e.Err, parley.ErrExpired):
		return "expired"
	}
	return "cancelled"
}

func (b *books) wrong(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault(format, args...)
}

func (b *books) fault(format string, args ...any) {
	if len(b.faults) < maxFaults {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// unended counts the open ones.
func (b *books) unended() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open)
}
