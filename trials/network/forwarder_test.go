//go:build linux

package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The directions of a forwarder.
const (
	there = iota // from who dialled
	back
)

// forwarder is TCP that goes by way of a host, and suffers there.
type forwarder struct {
	host     *host
	listener net.Listener
	target   string

	mu      sync.Mutex
	now     weather
	changed chan struct{} // closed and made anew when it has
	relays  []*relay
}

// weather is what a forwarder does to what passes.
type weather struct {
	swallow [2]bool       // of each direction: nothing passes any more on a connection that sent something meanwhile
	stalled bool          // nothing passes, until it does
	piece   int           // bytes at a time; 0: as they come
	pause   time.Duration // before each piece
}

// ending is how connections through a forwarder end.
type ending int

const (
	cut       ending = iota // in order, on both sides
	reset                   // by RST: what is on its way is lost
	halfClose               // there alone: back goes on
)

// newForwarder lets a port of the host lead to a target.
func newForwarder(h *host, port uint16, target netip.AddrPort) *forwarder {
	h.t.Helper()
	f := &forwarder{host: h, target: target.String(), changed: make(chan struct{})}
	err := h.within(func() (err error) {
		f.listener, err = net.Listen("tcp", netip.AddrPortFrom(h.address, port).String())
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		f.listener.Close()
		f.become(weather{})
		f.end(reset)
	})
	go f.accept()
	return f
}

func (f *forwarder) become(w weather) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = w
	close(f.changed)
	f.changed = make(chan struct{})
}

// end ends all connections of the moment.
func (f *forwarder) end(how ending) {
	f.mu.Lock()
	relays := slices.Clone(f.relays)
	f.mu.Unlock()
	for _, r := range relays {
		r.end(how)
	}
}

func (f *forwarder) accept() {
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			var far net.Conn
			err := f.host.within(func() (err error) {
				far, err = net.DialTimeout("tcp", f.target, 5*time.Second)
				return err
			})
			if err != nil {
				near.Close()
				return
			}
			f.relay(near.(*net.TCPConn), far.(*net.TCPConn))
		}()
	}
}

// relay is a connection through a forwarder.
type relay struct {
	near, far *net.TCPConn
	over      chan struct{}
	once      sync.Once
}

func (f *forwarder) relay(near, far *net.TCPConn) {
	r := &relay{near: near, far: far, over: make(chan struct{})}
	f.mu.Lock()
	f.relays = append(f.relays, r)
	f.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { f.pump(r, there, near, far) })
	both.Go(func() { f.pump(r, back, far, near) })
	both.Wait()
	r.end(cut)
	f.mu.Lock()
	f.relays = slices.DeleteFunc(f.relays, func(q *relay) bool { return q == r })
	f.mu.Unlock()
}

func (r *relay) end(how ending) {
	if how == halfClose {
		r.far.CloseWrite() // an error says that it is closed already
		return
	}
	r.once.Do(func() {
		close(r.over)
		for _, c := range []*net.TCPConn{r.near, r.far} {
			if how == reset {
				c.SetLinger(0) // likewise
			}
			c.Close()
		}
	})
}

// pump passes on one direction, as the weather is.
func (f *forwarder) pump(r *relay, direction int, from, to *net.TCPConn) {
	swallowed := false
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			w := f.wait(r)
			taken := len(rest)
			if w.piece > 0 {
				taken = min(taken, w.piece)
			}
			swallowed = swallowed || w.swallow[direction]
			time.Sleep(w.pause)
			if !swallowed {
				if _, err := to.Write(rest[:taken]); err != nil {
					r.end(reset)
					return
				}
			}
			rest = rest[taken:]
		}
		switch {
		case swallowed && errors.Is(err, io.EOF): // nor does the end pass
			<-r.over
			return
		case errors.Is(err, io.EOF):
			to.CloseWrite()
			return
		case err != nil:
			r.end(reset)
			return
		}
	}
}

// wait returns when nothing is stalled, or the connection over, and the weather then.
func (f *forwarder) wait(r *relay) weather {
	for {
		f.mu.Lock()
		w, changed := f.now, f.changed
		f.mu.Unlock()
		if !w.stalled {
			return w
		}
		select {
		case <-changed:
		case <-r.over:
			return weather{}
		}
	}
}
