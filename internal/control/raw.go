package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

const (
	healthPath   = "/healthz"
	requestsPath = "/v1/requests"
)

// routeRaw adds the calls whose payloads are the bodies of plain HTTP, so that one of
// 64 MiB needn't be base64 in JSON, and a client needs neither. What stands around a
// payload is in the query of a request and in the headers of an answer.
func (n *Node) routeRaw(mux *http.ServeMux) {
	mux.HandleFunc("GET "+healthPath, n.health)
	mux.HandleFunc("POST /v1/requests", n.rawRequest)
	mux.HandleFunc("GET /v1/next", n.rawNext)
	mux.HandleFunc("GET /v1/events", n.rawEvents)
	mux.HandleFunc("GET /v1/exchanges/{peer}/{tag}/body", n.rawBody)
	mux.HandleFunc("POST /v1/exchanges/{peer}/{tag}/reply", n.rawAnswer)
	mux.HandleFunc("POST /v1/exchanges/{peer}/{tag}/reject", n.rawAnswer)
	mux.HandleFunc("POST /v1/exchanges/{peer}/{tag}/commit", n.rawEnd)
	mux.HandleFunc("POST /v1/exchanges/{peer}/{tag}/cancel", n.rawEnd)
}

func (n *Node) health(w http.ResponseWriter, _ *http.Request) {
	if err := n.handler.Healthy(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// rawRequest makes a request of the body, and waits for its outcome if it is told to.
func (n *Node) rawRequest(w http.ResponseWriter, r *http.Request) {
	q, err := n.query(r, "peer", "lane", "key", "address", "deadline", "wait")
	if err != nil {
		refuse(w, err)
		return
	}
	m := &v1.Message{Peer: q.Get("peer"), Lane: q.Get("lane"), Key: q.Get("key"), Address: q.Get("address")}
	if text := q.Get("deadline"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			refuse(w, invalid(fmt.Errorf("deadline: %w: write it as 2006-01-02T15:04:05Z", err)))
			return
		}
		m.Deadline = timestamppb.New(t)
	}
	wait, err := duration(q, "wait")
	if err == nil {
		_, err = waiting(wait, 0) // before there is a request
	}
	if err == nil {
		m.Body, err = n.body(w, r)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	sent, err := n.Send(r.Context(), &v1.SendRequest{Messages: []*v1.Message{m}})
	if err != nil {
		refuse(w, err)
		return
	}
	_ = r.Body.Close() // it needs no room while the outcome is waited for
	id := sent.Ids[0]
	w.Header().Set("Parley-Id", id)
	if wait == nil {
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintln(w, id) // a client that is gone asks again by its key
		return
	}
	e, err := n.Wait(r.Context(), &v1.WaitRequest{Id: id, Wait: wait})
	if err != nil {
		err = stopped(r.Context(), err)
	}
	if connect.CodeOf(err) == connect.CodeDeadlineExceeded && err != nil {
		w.WriteHeader(http.StatusAccepted) // it goes on
		_, _ = fmt.Fprintln(w, id)
		return
	}
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, e)
}

// rawNext gives the next event after a place, or 204 when there is none in time.
func (n *Node) rawNext(w http.ResponseWriter, r *http.Request) {
	q, err := n.query(r, "after", "lane", "wait", "notices")
	if err != nil {
		refuse(w, err)
		return
	}
	f, err := filterOf(q)
	if err != nil {
		refuse(w, err)
		return
	}
	wait, err := duration(q, "wait")
	if err != nil {
		refuse(w, err)
		return
	}
	got, err := n.Receive(r.Context(), &v1.ReceiveRequest{After: f.after, LanePrefix: f.lanePrefix, WithoutNotices: f.withoutNotices, Max: 1, Wait: wait})
	switch {
	case err != nil:
		refuse(w, err)
	case len(got.Events) == 0:
		w.WriteHeader(http.StatusNoContent)
	default:
		write(w, got.Events[0])
	}
}

// rawEvents streams events without their bodies, as server-sent events. So it takes
// nothing. A client that comes again says where it was by Last-Event-ID.
func (n *Node) rawEvents(w http.ResponseWriter, r *http.Request) {
	q, err := n.query(r, "after", "lane", "notices")
	if err != nil {
		refuse(w, err)
		return
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		q.Set("after", last)
	}
	f, err := filterOf(q)
	if err != nil {
		refuse(w, err)
		return
	}
	f.watching = true
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	to := http.NewResponseController(w)
	if err := to.Flush(); err != nil {
		refuse(w, err)
		return
	}
	err = n.follow(r.Context(), f, false, func(e *v1.Event) error {
		text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, text); err != nil {
			return err
		}
		return to.Flush()
	})
	if err = stopped(r.Context(), err); err != nil { // the status is written: it is told as the last event
		text, _ := json.Marshal(map[string]string{"code": connect.CodeOf(err).String(), "message": words(err)}) // of strings
		_, _ = fmt.Fprintf(w, "event: end\ndata: %s\n\n", text)                                                 // a client that is gone needs no farewell
	}
}

func (n *Node) rawBody(w http.ResponseWriter, r *http.Request) {
	if _, err := n.query(r); err != nil {
		refuse(w, err)
		return
	}
	id, err := parley.ParseID(r.PathValue("peer") + "/" + r.PathValue("tag"))
	if err != nil {
		refuse(w, invalid(err))
		return
	}
	body, err := n.handler.Body(id)
	if err == nil && id.Dialer != n.handler.PeerID() {
		n.inbox.find(id) // who has its body has been given it
		err = n.handler.Take(id)
	}
	if err != nil {
		refuse(w, failure(err))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff") // what a peer sent is no page
	_, _ = w.Write(body)                                // a client that is gone asks again
}

// rawAnswer replies to a request, or rejects it, with the body.
func (n *Node) rawAnswer(w http.ResponseWriter, r *http.Request) {
	_, err := n.query(r)
	var body []byte
	if err == nil {
		body, err = n.body(w, r)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	id := r.PathValue("peer") + "/" + r.PathValue("tag")
	if path := r.URL.Path; path[len(path)-len("reply"):] == "reply" {
		_, err = n.Reply(r.Context(), &v1.ReplyRequest{Id: id, Body: body})
	} else {
		_, err = n.Reject(r.Context(), &v1.RejectRequest{Id: id, Reason: string(body)})
	}
	end(w, err)
}

// rawEnd commits an exchange, or cancels it. It has no body: in one there would be
// something that isn't heeded.
func (n *Node) rawEnd(w http.ResponseWriter, r *http.Request) {
	if _, err := n.query(r); err != nil {
		refuse(w, err)
		return
	}
	if _, err := io.CopyN(io.Discard, r.Body, 1); err == nil {
		refuse(w, invalid(errors.New("the call takes no body")))
		return
	} else if !errors.Is(err, io.EOF) {
		refuse(w, connect.NewError(connect.CodeCanceled, err))
		return
	}
	id := r.PathValue("peer") + "/" + r.PathValue("tag")
	var err error
	if path := r.URL.Path; path[len(path)-len("commit"):] == "commit" {
		_, err = n.Commit(r.Context(), &v1.CommitRequest{Ids: []string{id}})
	} else {
		_, err = n.Cancel(r.Context(), &v1.CancelRequest{Id: id})
	}
	end(w, err)
}

// query reads the query of a call. A name that it doesn't know is an error.
func (n *Node) query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid(err)
	}
	for name, values := range q {
		known := false
		for _, k := range names {
			known = known || k == name
		}
		if len(names) == 0 {
			return nil, invalid(fmt.Errorf("the query has %q: this call takes none", name))
		}
		if !known || len(values) > 1 {
			return nil, invalid(fmt.Errorf("the query has %q %d times: it may have each of %v once", name, len(values), names))
		}
	}
	return q, nil
}

func filterOf(q url.Values) (filter, error) {
	f := filter{lanePrefix: q.Get("lane")}
	if text := q.Get("after"); text != "" {
		after, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return f, invalid(fmt.Errorf("after: %q is no place: give the Parley-Seq of the last event that you have", text))
		}
		f.after = after
	}
	switch text := q.Get("notices"); text {
	case "", "yes":
	case "no":
		f.withoutNotices = true
	default:
		return f, invalid(fmt.Errorf("notices: %q, want yes or no", text))
	}
	return f, nil
}

func duration(q url.Values, name string) (*durationpb.Duration, error) {
	text := q.Get(name)
	if text == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, invalid(fmt.Errorf("%s: %q is no duration: write it as 30s or 2m", name, text))
	}
	return durationpb.New(d), nil
}

// body reads the body of a call, as far as a message may be large.
func (n *Node) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, n.options.MaxMessageSize)) // at most Config.MaxMessageSize
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, failure(fmt.Errorf("the body has more than %d bytes: %w", tooLarge.Limit, parley.ErrTooLarge))
	}
	if err != nil {
		return nil, connect.NewError(connect.CodeCanceled, err)
	}
	return body, nil
}

// write writes an event: its body, and what is around it as headers.
func write(w http.ResponseWriter, e *v1.Event) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Parley-Seq", strconv.FormatUint(e.Seq, 10))
	h.Set("Parley-Kind", kindName(e.Kind))
	for name, text := range map[string]string{
		"Parley-Id": e.Id, "Parley-Peer": e.Peer, "Parley-Name": url.QueryEscape(e.Name), "Parley-Lane": url.QueryEscape(e.Lane),
		"Parley-Outcome": e.Outcome, "Parley-Reason": url.QueryEscape(e.Reason), "Parley-Notice": e.Notice,
		"Parley-Damage": url.QueryEscape(e.Damage),
	} {
		if text != "" {
			h.Set(name, text)
		}
	}
	if e.Redelivered {
		h.Set("Parley-Redelivered", "yes")
	}
	if e.PossiblySeen {
		h.Set("Parley-Possibly-Seen", "yes")
	}
	if e.Deadline != nil {
		h.Set("Parley-Deadline", e.Deadline.AsTime().Format(time.RFC3339Nano))
	}
	_, _ = w.Write(e.Body) // a client that is gone is given it again
}

// end answers a call that has no result.
func end(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers with an error, in words.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument:
		status = http.StatusBadRequest
	case connect.CodeNotFound:
		status = http.StatusNotFound
	case connect.CodeAlreadyExists, connect.CodeFailedPrecondition:
		status = http.StatusConflict
	case connect.CodeResourceExhausted:
		status = http.StatusTooManyRequests
	case connect.CodeUnavailable, connect.CodeCanceled:
		status = http.StatusServiceUnavailable
	}
	switch {
	case errors.Is(err, parley.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded): // of what the client was to send
		status = http.StatusRequestTimeout
	}
	http.Error(w, words(err), status)
}

// words are those of an error, without its code.
func words(err error) string {
	var known *connect.Error
	if errors.As(err, &known) {
		return known.Message()
	}
	return err.Error()
}

// kindName is a kind as headers have it: "request", "reply" and so on.
func kindName(k v1.EventKind) string {
	switch k {
	case v1.EventKind_EVENT_KIND_REQUEST:
		return "request"
	case v1.EventKind_EVENT_KIND_ABANDONED:
		return "abandoned"
	case v1.EventKind_EVENT_KIND_REPLY:
		return "reply"
	case v1.EventKind_EVENT_KIND_FAILED:
		return "failed"
	default:
		return "notice"
	}
}
