package intake

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes listens for connections within the process, whose deadlines go by virtual time.
type pipes struct {
	addr net.Addr
	come chan net.Conn
	done chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.come:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return p.addr }

// serve serves a handler in the bubble, and gives what dials it.
func serve(t *testing.T, h http.HandlerFunc) (dial func() net.Conn) {
	t.Helper()
	return serveWith(t, NewBodies(1000), h)
}

func serveWith(t *testing.T, bodies *Bodies, h http.HandlerFunc) (dial func() net.Conn) {
	t.Helper()
	l := pipes{&net.TCPAddr{}, make(chan net.Conn), make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: bodies.Bounded(h, func(string) Kind { return Payloads }), Protocols: &protocols}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func() net.Conn {
		near, far := net.Pipe()
		l.come <- far
		return near
	}
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

const head = "POST / HTTP/1.1\r\nHost: parley\r\nContent-Length: 10\r\n\r\n"

func TestABodyMayBeSlowAndNotStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan error, 1)
		dial := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			read <- err
		})
		c := dial()
		defer c.Close()
		write(t, c, head)
		for range 10 {
			time.Sleep(pause - time.Second)
			write(t, c, "x")
		}
		if err := <-read; err != nil {
			t.Errorf("a slow body: %v", err)
		}
		still := dial()
		defer still.Close()
		began := time.Now()
		write(t, still, head+"half")
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != pause {
			t.Errorf("what stands still ends after %s: %v", time.Since(began), err)
		}
	})
}

func TestABodyThatNobodyReadsIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })()
		defer c.Close()
		began := time.Now()
		write(t, c, head)
		if _, err := io.ReadAll(c); err != nil || time.Since(began) > pause {
			t.Errorf("its connection ended after %s (%v)", time.Since(began), err)
		}
	})
}

func TestACallMayTakeItsTimeOnceItsBodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			if _, err := r.Body.Read(make([]byte, 1)); err != io.EOF { // as some look once more
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				t.Error("the call was given up")
			case <-time.After(10 * pause):
			}
		})()
		defer c.Close()
		write(t, c, head+"0123456789")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("the answer is %v (%v)", answer, err)
		}
	})
}

func TestABodyWaitsForRoomAndLeavesItWhenItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, goOn := make(chan string, 8), make(chan struct{})
		dial := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			first := make([]byte, 1)
			_, err := io.ReadFull(r.Body, first)
			began <- string(first)
			if err == nil {
				_, err = io.ReadAll(r.Body)
			}
			if err != nil {
				t.Error(err)
			}
			<-goOn // while it holds what it has read
		})
		call := func(text string) net.Conn {
			c := dial()
			write(t, c, "POST / HTTP/1.1\r\nHost: parley\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"+text+"\r\n")
			return c
		}
		var all []net.Conn
		for range maxLargest {
			all = append(all, call("a"))
			<-began
		}
		all = append(all, call("b"))
		synctest.Wait()
		if len(began) > 0 {
			t.Fatal("there was room for more than there is")
		}
		time.Sleep(pause / 2)
		write(t, all[0], "0\r\n\r\n") // its body has 1 byte
		write(t, all[1], "0\r\n\r\n")
		if b := <-began; b != "b" {
			t.Errorf("%q came next", b)
		}
		for _, c := range all[2:] {
			write(t, c, "0\r\n\r\n")
		}
		close(goOn)
		for _, c := range all {
			if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("the answer is %v (%v)", answer, err)
			}
			_ = c.Close()
		}
	})
}

func TestInHTTP2TooABodyMayWaitAndNotStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := NewBodies(1000)
		if !bodies.payloads.free.TryAcquire(maxLargest * 1000) {
			t.Fatal("the room isn't empty")
		}
		dial := serveWith(t, bodies, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); errors.Is(err, os.ErrDeadlineExceeded) {
				w.WriteHeader(http.StatusRequestTimeout)
			} else if err != nil {
				t.Error(err)
			}
		})
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}
		defer transport.CloseIdleConnections()
		post := func(body io.Reader, want int) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://parley/", body)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(r)
			if err != nil || answer.StatusCode != want || answer.ProtoMajor != 2 {
				t.Fatalf("the answer is %v (%v)", answer, err)
			}
			_ = answer.Body.Close()
		}
		half, rest := io.Pipe()
		time.AfterFunc(2*pause, func() { bodies.payloads.free.Release(maxLargest * 1000) })
		time.AfterFunc(2*pause+time.Second, func() { _, _ = io.WriteString(rest, "the rest"); _ = rest.Close() })
		post(half, http.StatusOK)
		began := time.Now()
		still, end := io.Pipe()
		defer end.Close()
		post(still, http.StatusRequestTimeout)
		if took := time.Since(began); took != pause {
			t.Errorf("what stands still ends after %s", took)
		}
	})
}

func TestABodyThatIsTooLargeIsNotReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			var tooLarge *http.MaxBytesError
			if !errors.As(err, &tooLarge) || len(got) > 1000 {
				t.Errorf("%d bytes were read (%v)", len(got), err)
			}
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		})()
		defer c.Close()
		write(t, c, "POST / HTTP/1.1\r\nHost: parley\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 1001))
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("the answer is %v (%v)", answer, err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil { // until the server has gone too
			t.Error(err)
		}
	})
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	for address, most := range map[net.Addr]int{&net.TCPAddr{}: maxTCP, &net.UnixAddr{Net: "unix"}: maxUnix} {
		synctest.Test(t, func(t *testing.T) {
			inner := pipes{address, make(chan net.Conn, most+1), make(chan struct{})}
			for range most + 1 {
				_, far := net.Pipe()
				inner.come <- far
			}
			l := Limited(inner)
			accepted := make(chan net.Conn, most+1)
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					accepted <- c
				}
			}()
			synctest.Wait()
			if len(accepted) != most {
				t.Errorf("%s: %d were accepted, want %d", address.Network(), len(accepted), most)
			}
			if err := (<-accepted).Close(); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if len(accepted) != most {
				t.Errorf("%s: %d are there after one has gone", address.Network(), len(accepted))
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
