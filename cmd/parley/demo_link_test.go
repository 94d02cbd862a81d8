package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lay opens a link with one fault at a byte, and returns both ends of a
// connection through it.
func lay(t *testing.T, f fault) (near, far *net.TCPConn) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	target := listen()
	p := path{
		link:     &link{faults: []fault{f}, tell: func(fault) {}},
		listener: listen(), from: netip.MustParseAddr("127.0.0.1"), target: target.Addr().String(),
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.forward(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		target.Close()
	})
	dialed, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestLinkDisturbsTheConnectionAtAByte(t *testing.T) {
	message := strings.Repeat("x", 100)
	for _, test := range []struct {
		kind    faultKind
		arrives int
		end     error // at the far side, after what arrives
		back    bool  // the other direction goes on
	}{
		{cut, 60, nil, false},
		{reset, 60, syscall.ECONNRESET, false},
		{halfClose, 60, nil, true},
		{stall, 100, nil, true},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			near, far := lay(t, fault{kind: test.kind, at: 60, lasts: 20 * time.Millisecond})
			if _, err := io.WriteString(near, message); err != nil {
				t.Fatal(err)
			}
			if test.kind == stall { // it has no end of its own
				near.CloseWrite()
			}
			got, err := io.ReadAll(far)
			if test.kind != reset && len(got) != test.arrives || len(got) > test.arrives { // a reset may take what has arrived with it
				t.Errorf("%d bytes arrived, want %d", len(got), test.arrives)
			}
			if !errors.Is(err, test.end) {
				t.Errorf("the far end got %v, want %v", err, test.end)
			}
			_, err = io.WriteString(far, "back")
			far.CloseWrite()
			answer, _ := io.ReadAll(near)
			if back := err == nil && string(answer) == "back"; back != test.back {
				t.Errorf("the other direction goes on: %v, want %v", back, test.back)
			}
		})
	}
}

func TestLinkCountsBytesOfAllConnections(t *testing.T) {
	l := &link{faults: []fault{{kind: cut, at: 10}, {kind: stall, at: 10}, {kind: reset, at: 25}}}
	for i, want := range []struct {
		taken int
		due   faultKind
	}{{8, ""}, {2, cut}, {0, stall}, {8, ""}, {7, reset}, {8, ""}} {
		taken, due := l.pass(8)
		kind := faultKind("")
		if due != nil {
			kind = due.kind
		}
		if taken != want.taken || kind != want.due {
			t.Errorf("call %d: %d bytes pass, then %q; want %d, then %q", i, taken, kind, want.taken, want.due)
		}
	}
}

func TestLinkHangsUpWhereNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	p := path{link: &link{}, listener: listener, from: netip.MustParseAddr("127.0.0.1"), target: gone.Addr().String()}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.forward(ctx) }()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err == nil { // otherwise it was hung up already
		if n, err := near.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		near.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
