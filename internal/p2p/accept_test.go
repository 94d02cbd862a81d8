package p2p

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
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
