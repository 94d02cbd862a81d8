package p2p

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// troubled is a listener whose first accepts fail.
type troubled struct {
	net.Listener
	with []error
}

func (l *troubled) Accept() (net.Conn, error) {
	if len(l.with) == 0 {
		return l.Listener.Accept()
	}
	err := l.with[0]
	l.with = l.with[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

func TestListenerOutlivesTrouble(t *testing.T) {
	var trouble []error
	for _, number := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN,
	} {
		trouble = append(trouble, number)
	}
	trouble = append(trouble, errors.New("something unheard of"))

	a, b := newNode(t), newNode(t, func(c *Config) { c.Listen = nil })
	address, err := listenAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := listenTCP(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.upgrade(&troubled{sockets, trouble})
	if err != nil {
		t.Fatal(err)
	}
	b.listeners = append(b.listeners, l) // for Close
	b.running.Go(func() { b.accept(l) })
	a.admit(b)
	b.admit(a)
	connect(a, b)
}

// A peer whose place isn't familiar is let in, although silent sockets from another
// have taken all there is.
func TestASilentSocketYieldsToAnotherPlace(t *testing.T) {
	for limit, change := range map[string]func(*Config){
		"handshakes":  func(c *Config) { c.MaxPendingHandshakes = 4 },
		"connections": func(c *Config) { c.MaxConnections = 4 },
	} {
		t.Run(limit, func(t *testing.T) {
			n, r := newNode(t, change), newRawPeer(t)
			crowd := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			var held []net.Conn
			for range 4 {
				c, err := crowd.Dial("tcp", n.listeners[0].Addr().String())
				if err != nil {
					t.Skipf("this system has no 127.0.0.2: %v", err)
				}
				defer c.Close()
				held = append(held, c)
			}
			r.dial(n)
			n.wantRefusalAt(LayerHandshake, errYielded)
			held[0].SetDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, held[0]); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the first of them isn't closed: %v", err)
			}
		})
	}
}
