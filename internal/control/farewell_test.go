package control

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// stoppable serves a node until stop is called.
func stoppable(t *testing.T, n *Node) (url string, stop func()) {
	t.Helper()
	l, err := ListenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, l, nil, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), stop
}

func TestWhoWaitsIsToldThatTheNodeStops(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	url, stop := stoppable(t, b.Node)
	stream, err := parleyv1connect.NewNodeClient(http.DefaultClient, url).Follow(t.Context(), &v1.FollowRequest{WithoutNotices: true})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().Id != id {
		t.Fatalf("it saw %v (%v)", stream.Msg(), stream.Err())
	}
	events, err := http.Get(url + "/v1/events?notices=no")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	stop()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("the stream ended with %v", stream.Err())
	}
	said, err := io.ReadAll(events.Body)
	if err != nil || !strings.Contains(string(said), "event: end\ndata: {\"code\":\"unavailable\"") {
		t.Errorf("server-sent events ended with %q (%v)", said, err)
	}
}

func TestWhoWaitsForAnOutcomeIsToldThatTheNodeStops(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	b.next(t, 0)
	url, stop := stoppable(t, a.Node)
	failed := make(chan error, 1)
	go func() {
		_, err := parleyv1connect.NewNodeClient(http.DefaultClient, url).Wait(t.Context(), &v1.WaitRequest{Id: id, Wait: durationpb.New(time.Minute)})
		failed <- err
	}()
	for waiting := 0; waiting == 0; { // a poll of a real call
		time.Sleep(time.Millisecond)
		a.inbox.mu.Lock()
		waiting = len(a.inbox.calls)
		a.inbox.mu.Unlock()
	}
	stop()
	if err := <-failed; connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("it ended with %v", err)
	}
}

func TestServerSentEventsTakeNothing(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	events, err := http.Get(b.server.URL + "/v1/events?notices=no")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	if _, err := io.ReadFull(events.Body, make([]byte, len("id: 4294967297\ndata: "))); err != nil {
		t.Fatal(err)
	}
	x, err := b.client.GetExchange(t.Context(), &v1.GetExchangeRequest{Id: id})
	if err != nil || x.Taken {
		t.Errorf("the request was taken: %v (%v)", x, err)
	}
	if e := b.next(t, 0); e.Redelivered {
		t.Error("the application is told that it was given the request before")
	}
}
