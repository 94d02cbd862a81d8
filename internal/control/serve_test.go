package control

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-p2p/parley/internal/intake"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// looker serves a node to who has the token "look" alone.
func looker(t *testing.T, n *Node) (post func(procedure, encoding string, body io.Reader) answer) {
	t.Helper()
	server := httptest.NewServer(n.Routes([]Token{{"look", ReadOnly}}))
	t.Cleanup(server.Close)
	return func(procedure, encoding string, body io.Reader) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+procedure, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", encoding)
		r.Header.Set("Authorization", "Bearer look")
		got, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{got.StatusCode, got.Header, text}
	}
}

// A body that is white space is a call without arguments, however long.
func TestACallWithoutPayloadsHasNoLargeBody(t *testing.T) {
	a, _ := pair(t)
	post := looker(t, a.Node)
	for length, want := range map[int]int{60 << 10: http.StatusOK, 70 << 10: http.StatusTooManyRequests, testLimit: http.StatusTooManyRequests} {
		text := strings.Repeat(" ", length-2) + "{}"
		if got := post(parleyv1connect.NodeStatusProcedure, "identity", strings.NewReader(text)); got.status != want {
			t.Errorf("%d bytes: %d %s", length, got.status, got.body)
		}
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, "{}"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := post(parleyv1connect.NodeStatusProcedure, "gzip", &packed); got.status == http.StatusOK {
		t.Errorf("what is packed, and may be large: %d %s", got.status, got.body)
	}
	if got := a.raw(t, http.MethodPost, parleyv1connect.NodeCommitProcedure, make([]byte, testLimit+1)); got.status == http.StatusOK {
		t.Errorf("a commit: %d %s", got.status, got.body)
	}
}

func TestEveryCallWithABodyHasItsKind(t *testing.T) {
	for path, want := range map[string]intake.Kind{
		parleyv1connect.NodeStatusProcedure: intake.Looking, healthPath: intake.Looking,
		parleyv1connect.NodeSendProcedure: intake.Payloads, parleyv1connect.NodeReplyProcedure: intake.Payloads, parleyv1connect.NodeAnswerProcedure: intake.Payloads,
		requestsPath: intake.Payloads, "/v1/exchanges/p/1/reply": intake.Payloads,
		"/v1/exchanges/p/1/reject": intake.Plain, "/v1/exchanges/p/1/commit": intake.Plain, parleyv1connect.NodeCommitProcedure: intake.Plain, "/": intake.Plain,
	} {
		if got := kindOf(path); got != want {
			t.Errorf("%s is of kind %d, want %d", path, got, want)
		}
	}
}

// within listens for connections within the process, whose deadlines go by virtual time.
type within struct {
	come chan net.Conn
	done chan struct{}
}

func (w within) Accept() (net.Conn, error) {
	select {
	case c := <-w.come:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w within) Close() error   { close(w.done); return nil }
func (w within) Addr() net.Addr { return &net.TCPAddr{} }

func TestAConnectionWithoutCallsEnds(t *testing.T) {
	for what, c := range map[string]struct {
		says string
		ends time.Duration
	}{
		"that says nothing":       {"", intake.HeadTimeout},
		"with half a head":        {"GET /healthz HTTP/1.1\r\nHo", intake.HeadTimeout},
		"that was told to go":     {"GET /v1/next HTTP/1.1\r\nHost: parley\r\n\r\n", intake.IdleTimeout},
		"of HTTP/2 without calls": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", intake.IdleTimeout},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := within{make(chan net.Conn), make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					done <- New(nil, Options{}).Serve(ctx, l, []Token{{"do", Admin}}, slog.New(slog.DiscardHandler))
				}()
				near, far := net.Pipe()
				l.come <- far
				began := time.Now()
				go func() { _, _ = io.WriteString(near, c.says) }() // the server may end first
				if err := near.SetReadDeadline(began.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				_, err := io.Copy(io.Discard, near)
				if took := time.Since(began); err != nil || took < c.ends || took > c.ends+5*time.Second {
					t.Errorf("it ended after %s, want %s (%v)", took, c.ends, err)
				}
				_ = near.Close()
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
