package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"
)

// Kind is what a call's body may be like.
type Kind int

const (
	// Looking is a call of those who may only look, and that says little.
	Looking Kind = iota
	// Plain is a call without payloads, as that thousands of outcomes are done with.
	Plain
	// Payloads is a call that carries some.
	Payloads
)

const (
	// maxLook bounds the body of a call that looks, in bytes. A larger one is refused.
	maxLook = 64 << 10
	// maxPlain bounds the body of any other call that carries no payloads, in bytes. A
	// larger one is refused.
	maxPlain = 1 << 20
	// maxLooks bounds the bodies in memory of all calls that look, in bytes. Further
	// calls wait. They have room of their own, so that who may only look holds up nobody
	// who may do more.
	maxLooks = 4 << 20
	// maxPlains bounds the bodies in memory of all other calls without payloads, in bytes.
	// Further calls wait.
	maxPlains = 16 << 20
	// maxLargest bounds the bodies in memory of all calls with payloads: so many times the
	// largest that one may have. Further calls wait. While a body is read and decoded it
	// takes some two and a half times its size.
	maxLargest = 4
)

// Bodies counts the bodies of calls that are in memory.
type Bodies struct {
	looking, plain, payloads room
}

// room is for the bodies of one kind.
type room struct {
	each int64 // bytes of one, at most
	free *semaphore.Weighted
}

// NewBodies makes the room for calls with payloads of largest bytes at most.
func NewBodies(largest int64) *Bodies {
	return &Bodies{
		looking:  room{maxLook, semaphore.NewWeighted(maxLooks)},
		plain:    room{maxPlain, semaphore.NewWeighted(maxPlains)},
		payloads: room{largest, semaphore.NewWeighted(maxLargest * largest)},
	}
}

// Largest is how many bytes a call's body may have.
func (b *Bodies) Largest(k Kind) int64 { return b.of(k).each }

func (b *Bodies) of(k Kind) *room {
	switch k {
	case Looking:
		return &b.looking
	case Plain:
		return &b.plain
	default:
		return &b.payloads
	}
}

// Bounded has the calls' bodies come in as there is room, and none stand still. What a
// body takes is free again when it is closed, or its call has ended.
func (b *Bodies) Bounded(next http.Handler, kind func(path string) Kind) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		of := b.of(kind(r.URL.Path))
		l := &load{
			ReadCloser: http.MaxBytesReader(w, r.Body, of.each), ctx: r.Context(), until: http.NewResponseController(w).SetReadDeadline,
			room: of, asks: of.each,
		}
		if r.ContentLength >= 0 {
			l.asks = min(r.ContentLength, of.each)
		}
		defer l.leave(0)
		l.hurry() // also what nobody reads: the server would wait for it
		r.Body = l
		next.ServeHTTP(w, r)
	})
}

// load is the body of one call. It takes its room when somebody begins to read it, all
// at once: two that had half of theirs could wait for each other.
type load struct {
	io.ReadCloser
	ctx   context.Context
	until func(time.Time) error // sets when reading fails
	room  *room
	asks  int64 // bytes that it may take
	in    bool
	over  bool  // it has been read, or can't be
	held  int64 // of the room
	read  int64
}

// Read waits for the room, and then reads.
func (l *load) Read(p []byte) (int, error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	if !l.over { // the connection's time is the server's again, who looks whether the client goes
		l.hurry()
	}
	n, err := l.ReadCloser.Read(p)
	l.read += int64(n)
	if err != nil {
		l.over = true
		l.leave(l.read)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing of the body has come for %s: %w", pause, err)
	}
	return n, err
}

// hurry gives what comes next its time. Where none can be set the body may take its own.
func (l *load) hurry() { _ = l.until(time.Now().Add(pause)) }

func (l *load) enter() error {
	if l.in {
		return nil
	}
	if !l.room.free.TryAcquire(l.asks) {
		_ = l.until(time.Time{}) // the client doesn't pause: and what is late once stays so in HTTP/2
		if err := l.room.free.Acquire(l.ctx, l.asks); err != nil {
			return err
		}
	}
	l.in, l.held = true, l.asks
	return nil
}

// leave gives back the room but for so many bytes.
func (l *load) leave(left int64) {
	if l.held > left {
		l.room.free.Release(l.held - left)
		l.held = left
	}
}

// Close is called when nobody needs any more what was read.
func (l *load) Close() error {
	l.leave(0)
	return l.ReadCloser.Close()
}
