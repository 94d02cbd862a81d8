package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

const testLimit = 1 << 20

// side is one of two nodes, and a client of it.
type side struct {
	*Node
	server *httptest.Server

	directory string
	client    parleyv1connect.NodeClient
}

// pair makes two nodes that list each other as "peer".
func pair(t testing.TB) (a, b side) {
	t.Helper()
	keys := []identity.Key{newKey(t), newKey(t)}
	sides := make([]side, 2)
	for i := range sides {
		directory := t.TempDir()
		list, err := allowlist.New(allowlist.Member{ID: keys[1-i].PeerID(), Name: "peer"})
		if err != nil {
			t.Fatal(err)
		}
		h, err := parley.New("127.0.0.1:0", keys[i], parley.Config{
			AllowList: list, ExplicitCommit: true, ExplicitTake: true, Dir: filepath.Join(directory, "journal"), MaxMessageSize: testLimit, IdleTimeout: time.Minute,
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		n := New(h, Options{AllowList: list, AllowListFile: filepath.Join(directory, "peers.toml"), Run: 1, MaxMessageSize: testLimit})
		server := httptest.NewServer(n.Routes(nil))
		done := make(chan error, 1)
		go func() { done <- n.Run(t.Context()) }()
		t.Cleanup(func() {
			server.CloseClientConnections()
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			server.Close()
		})
		sides[i] = side{n, server, directory, parleyv1connect.NewNodeClient(server.Client(), server.URL)}
	}
	for i, s := range sides {
		other := sides[1-i]
		if _, err := s.client.AddPeer(t.Context(), &v1.AddPeerRequest{Id: keys[1-i].PeerID().String(), Name: "peer", Addresses: other.handler.Addresses()}); err != nil {
			t.Fatal(err)
		}
	}
	return sides[0], sides[1]
}

func newKey(t testing.TB) identity.Key {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// next is the next event after a place.
func (s side) next(t *testing.T, after uint64) *v1.Event {
	t.Helper()
	got, err := s.client.Receive(t.Context(), &v1.ReceiveRequest{After: after, Max: 1, Wait: durationpb.New(time.Minute), WithoutNotices: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != 1 {
		t.Fatalf("%d events came", len(got.Events))
	}
	return got.Events[0]
}

func (s side) send(t *testing.T, lane, body string) string {
	t.Helper()
	sent, err := s.client.Send(t.Context(), &v1.SendRequest{Messages: []*v1.Message{{Peer: "peer", Lane: lane, Body: []byte(body)}}})
	if err != nil {
		t.Fatal(err)
	}
	return sent.Ids[0]
}

func TestAnExchangeThroughTheAPI(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "lane", "question")
	asked := b.next(t, 0)
	if asked.Id != id || string(asked.Body) != "question" || asked.Kind != v1.EventKind_EVENT_KIND_REQUEST || asked.Name != "peer" || asked.Lane != "lane" {
		t.Fatalf("the peer was asked %v", asked)
	}
	if _, err := b.client.Reply(t.Context(), &v1.ReplyRequest{Id: id, Body: []byte("answer")}); err != nil {
		t.Fatal(err)
	}
	outcome, err := a.client.Wait(t.Context(), &v1.WaitRequest{Id: id, Wait: durationpb.New(time.Minute)})
	if err != nil || string(outcome.Body) != "answer" || outcome.Outcome != "answered" {
		t.Fatalf("the outcome is %v (%v)", outcome, err)
	}
	if _, err := a.client.Commit(t.Context(), &v1.CommitRequest{Ids: []string{id}}); err != nil {
		t.Fatal(err)
	}
	if held, _ := a.inbox.standing(); held != 0 {
		t.Errorf("%d events are still held", held)
	}
	_, err = a.client.Wait(t.Context(), &v1.WaitRequest{Id: id})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("waiting for what is committed: %v", err)
	}
}

func TestAnEventStaysUntilSomebodyIsDoneWithIt(t *testing.T) {
	a, b := pair(t)
	first := a.send(t, "one", "1")
	if e := b.next(t, 0); e.Redelivered {
		t.Error("what is given for the first time is marked")
	}
	again := b.next(t, 0)
	if again.Id != first || !again.Redelivered {
		t.Errorf("a client that asks again has %v", again)
	}
	second := a.send(t, "two", "2")
	if e := b.next(t, again.Seq); e.Id != second {
		t.Errorf("after the first comes %v", e)
	}
	got, err := b.client.Receive(t.Context(), &v1.ReceiveRequest{LanePrefix: "tw", WithoutBody: true})
	if err != nil || len(got.Events) != 1 || got.Events[0].Id != second || got.Events[0].Size != 1 || len(got.Events[0].Body) != 0 {
		t.Errorf("of the lane there is %v (%v)", got, err)
	}
}

func TestAnOutcomeThatWasWaitedForIsMarkedTheSecondTime(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	b.next(t, 0)
	if _, err := b.client.Reply(t.Context(), &v1.ReplyRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		e, err := a.client.Wait(t.Context(), &v1.WaitRequest{Id: id, Wait: durationpb.New(time.Minute)})
		if err != nil || e.Redelivered != again {
			t.Errorf("it is marked: %v, want %v (%v)", e.GetRedelivered(), again, err)
		}
	}
	if e := a.next(t, 0); !e.Redelivered {
		t.Error("what was waited for comes unmarked")
	}
}

// An event can go between the look into the inbox and the giving.
func TestWhatIsGoneHidesNothingAfterIt(t *testing.T) {
	a, b := pair(t)
	gone := parley.ID{Dialer: a.handler.PeerID(), Tag: [16]byte{1}}
	b.inbox.put(parley.Event{Kind: parley.RequestReceived, ID: gone, Peer: a.handler.PeerID()})
	id := a.send(t, "", "question")
	for held := 0; held < 2; held, _ = b.inbox.standing() {
		time.Sleep(time.Millisecond) // a poll of a real exchange
	}
	if e := b.next(t, 0); e.Id != id {
		t.Errorf("after what is gone comes %v", e)
	}
}

func TestManyAreAnsweredTogetherAndEachForItself(t *testing.T) {
	a, b := pair(t)
	replied, rejected, both := a.send(t, "1", "question"), a.send(t, "2", "question"), a.send(t, "3", "question")
	after := uint64(0)
	for range 3 {
		after = b.next(t, after).Seq
	}
	unknown := parley.ID{Dialer: a.handler.PeerID(), Tag: [16]byte{9}}.String()
	got, err := b.client.Answer(t.Context(), &v1.AnswerRequest{Answers: []*v1.OneAnswer{
		{Id: replied, Body: []byte("answer")}, {Id: rejected, Reason: "no"}, {Id: unknown}, {Id: both, Body: []byte("answer"), Reason: "no"},
	}})
	if err != nil || len(got.Failures) != 2 || got.Failures[0].Id != unknown || got.Failures[0].Code != "not_found" || got.Failures[1].Code != "invalid_argument" {
		t.Fatalf("what fails is %v (%v)", got, err)
	}
	for id, want := range map[string]string{replied: "answered", rejected: "rejected"} {
		if e, err := a.client.Wait(t.Context(), &v1.WaitRequest{Id: id, Wait: durationpb.New(time.Minute)}); err != nil || e.Outcome != want {
			t.Errorf("the outcome is %v, want %s (%v)", e, want, err)
		}
	}
	if held, _ := b.inbox.standing(); held != 1 {
		t.Errorf("%d requests are held, want the one that wasn't answered", held)
	}
	if _, err := b.client.Answer(t.Context(), &v1.AnswerRequest{}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("no answers: %v", err)
	}
}

func TestARequestCountsAsTakenOnceAClientHasIt(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	state := func(waiting string) {
		t.Helper()
		for {
			x, err := a.client.GetExchange(t.Context(), &v1.GetExchangeRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(x.Waiting, waiting) {
				return
			}
			if t.Context().Err() != nil {
				t.Fatalf("it waits for %s", x.Waiting)
			}
			time.Sleep(time.Millisecond) // a poll of a real exchange
		}
	}
	state("hasn't taken it")
	b.next(t, 0)
	state("which has it")
}

func TestWatchingTakesNothing(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	stream, err := b.client.Follow(t.Context(), &v1.FollowRequest{Watching: true, WithoutBody: true, WithoutNotices: true})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().Id != id || len(stream.Msg().Body) != 0 || stream.Msg().Size != 8 {
		t.Fatalf("it saw %v (%v)", stream.Msg(), stream.Err())
	}
	if err := stream.Close(); err != nil && connect.CodeOf(err) != connect.CodeCanceled {
		t.Error(err)
	}
	x, err := b.client.GetExchange(t.Context(), &v1.GetExchangeRequest{Id: id})
	if err != nil || x.Taken {
		t.Errorf("the request was taken: %v (%v)", x, err)
	}
	if e := b.next(t, 0); e.Redelivered {
		t.Error("the application is told that it was given the request before")
	}
}

// A lane has any bytes that a peer likes: they are shown as well as they can be, and
// nothing else suffers.
func TestALaneThatIsNoTextHidesNothing(t *testing.T) {
	a, b := pair(t)
	odd, err := a.handler.Send(parley.Message{Peer: b.handler.PeerID(), Lane: "\xff\xfe", Body: []byte("odd")})
	if err != nil {
		t.Fatal(err)
	}
	if e := b.next(t, 0); e.Id != odd[0].String() || e.Lane != "\uFFFD" || string(e.Body) != "odd" {
		t.Errorf("it comes as %v", e)
	}
	for _, s := range []side{a, b} {
		if _, err := s.client.Status(t.Context(), &v1.StatusRequest{}); err != nil {
			t.Error(err)
		}
		if got, err := s.client.ListExchanges(t.Context(), &v1.ListExchangesRequest{}); err != nil || len(got.GetExchanges()) != 1 {
			t.Errorf("listed are %v (%v)", got, err)
		}
	}
	answer, err := http.Post(a.server.URL+"/v1/requests?peer=peer&lane=%ff", "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a lane that is no text gives %s", answer.Status)
	}
}

func TestWhatCantBeIsTheCallersFault(t *testing.T) {
	a, b := pair(t)
	long := strings.Repeat("x", 2000)
	for _, m := range []*v1.Message{{Peer: "peer", Lane: long}, {Peer: "peer", Key: long}, {Peer: "peer", Address: "nowhere"}} {
		if _, err := a.client.Send(t.Context(), &v1.SendRequest{Messages: []*v1.Message{m}}); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%.40v gives %v", m, err)
		}
	}
	id := a.send(t, "", "question")
	b.next(t, 0)
	if _, err := b.client.Reject(t.Context(), &v1.RejectRequest{Id: id, Reason: long}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a long reason gives %v", err)
	}
}

// A body that the disk spoilt is told with its event, and what comes after it comes.
func TestADamagedBodyHidesNothing(t *testing.T) {
	a, b := pair(t)
	random := make([]byte, testLimit) // has a file of its own
	rand.Read(random)
	damaged := a.send(t, "damaged", string(random))
	after := a.send(t, "after", "question")
	for held := 0; held < 2; held, _ = b.inbox.standing() {
		time.Sleep(time.Millisecond) // a poll of a real exchange
	}
	files, err := filepath.Glob(filepath.Join(b.directory, "journal", "payloads", "*.payload"))
	if err != nil || len(files) != 1 {
		t.Fatalf("payloads are %v (%v)", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := b.client.Receive(t.Context(), &v1.ReceiveRequest{WithoutNotices: true})
	if err != nil || len(got.Events) != 2 {
		t.Fatalf("what comes is %.200v (%v)", got, err)
	}
	byID := map[string]*v1.Event{got.Events[0].Id: got.Events[0], got.Events[1].Id: got.Events[1]}
	if e := byID[damaged]; e == nil || e.Damage == "" || len(e.Body) > 0 || e.Size != testLimit {
		t.Errorf("the damaged one is %.200v", e)
	}
	if e := byID[after]; e == nil || string(e.Body) != "question" || e.Damage != "" {
		t.Errorf("the other one is %.200v", e)
	}
}

// A node that can't do its work says so without asking what may hang.
func TestANodeThatIsNotWellSaysSo(t *testing.T) {
	a, _ := pair(t)
	if s, err := a.client.Status(t.Context(), &v1.StatusRequest{}); err != nil || s.Trouble != "" || len(s.Peers) != 1 {
		t.Fatalf("while all is well it says %v (%v)", s, err)
	}
	if err := a.handler.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := a.client.Status(t.Context(), &v1.StatusRequest{}); err != nil || s.Trouble == "" || s.PeerId == "" || len(s.Peers) != 0 || s.Counters != nil {
		t.Errorf("closed it says %v (%v)", s, err)
	}
}

func TestAMistypedFieldIsRefused(t *testing.T) {
	a, _ := pair(t)
	for text, want := range map[string]int{
		`{"messages":[{"peer":"peer","deadlin":"2030-01-01T00:00:00Z"}]}`: http.StatusBadRequest,
		`{"messages":[{"peer":"nobody"}]}`:                                http.StatusBadRequest,
		`{"messages":[{"peer":"peer","body":"aGk="}]}`:                    http.StatusOK,
	} {
		r, err := a.server.Client().Post(a.server.URL+parleyv1connect.NodeSendProcedure, "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != want {
			t.Errorf("%s: %s %s (%v)", text, r.Status, said, err)
		}
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPayloadsAreBodies(t *testing.T) {
	a, b := pair(t)
	body := bytes.Repeat([]byte{0, 1, 254, 255}, testLimit/4)
	r := a.raw(t, http.MethodPost, "/v1/requests?peer=peer&lane=l%2F1", body)
	id := r.header.Get("Parley-Id")
	if r.status != http.StatusCreated || strings.TrimSpace(string(r.body)) != id {
		t.Fatalf("it was made: %d %s", r.status, r.body)
	}
	asked := b.raw(t, http.MethodGet, "/v1/next?wait=1m&notices=no", nil)
	if asked.status != http.StatusOK || asked.header.Get("Parley-Id") != id || asked.header.Get("Parley-Lane") != "l%2F1" || !bytes.Equal(asked.body, body) {
		t.Fatalf("the peer was asked: %d %v", asked.status, asked.header)
	}
	if got := b.raw(t, http.MethodGet, "/v1/exchanges/"+id+"/body", nil); !bytes.Equal(got.body, body) {
		t.Errorf("its body is %d bytes", len(got.body))
	}
	if got := b.raw(t, http.MethodPost, "/v1/exchanges/"+id+"/reply", body[1:]); got.status != http.StatusNoContent {
		t.Fatalf("it was answered: %d %s", got.status, got.body)
	}
	answer := a.raw(t, http.MethodGet, "/v1/next?wait=1m&notices=no", nil)
	if answer.header.Get("Parley-Kind") != "reply" || !bytes.Equal(answer.body, body[1:]) {
		t.Fatalf("the answer: %d %v", answer.status, answer.header)
	}
	if got := a.raw(t, http.MethodPost, "/v1/exchanges/"+id+"/commit", nil); got.status != http.StatusNoContent {
		t.Errorf("it was committed: %d %s", got.status, got.body)
	}
	if got := a.raw(t, http.MethodGet, "/v1/next?notices=no", nil); got.status != http.StatusNoContent {
		t.Errorf("after that there is: %d %v", got.status, got.header)
	}
	for call, want := range map[string]int{
		"/v1/requests?peer=peer&lanes=x":      http.StatusBadRequest,
		"/v1/requests?peer=peer&deadline=now": http.StatusBadRequest,
		"/v1/requests?peer=peer&wait=soon":    http.StatusBadRequest,
	} {
		if got := a.raw(t, http.MethodPost, call, nil); got.status != want {
			t.Errorf("%s: %d %s", call, got.status, got.body)
		}
	}
	if got := a.raw(t, http.MethodPost, "/v1/requests?peer=peer", append(body, 0)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte too many: %d %s", got.status, got.body)
	}
}

// answer is what came of a call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (s side) raw(t *testing.T, method, path string, body []byte) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Body.Close(); err != nil {
		t.Error(err)
	}
	return answer{got.StatusCode, got.Header, text}
}

func TestEventsAreStreamed(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"/v1/events?notices=no", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	var place uint64
	var text string
	buffer := make([]byte, 4096)
	for !strings.Contains(text, "\n\n") {
		n, err := got.Body.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text += string(buffer[:n])
	}
	head, data, _ := strings.Cut(text, "\ndata: ")
	var e struct{ Seq, ID, Kind, Size string }
	if err := json.Unmarshal([]byte(data), &e); err != nil || e.ID != id || e.Size != "8" || head != "id: "+e.Seq {
		t.Errorf("%d: the stream says %q (%v)", place, text, err)
	}
}

func TestATokenSaysWhatAClientMay(t *testing.T) {
	a, _ := pair(t)
	server := httptest.NewServer(a.Routes([]Token{{"look", ReadOnly}, {"do", Admin}}))
	defer server.Close()
	for _, c := range []struct {
		token, procedure string
		want             int
	}{
		{"", parleyv1connect.NodeStatusProcedure, http.StatusUnauthorized},
		{"lok", parleyv1connect.NodeStatusProcedure, http.StatusUnauthorized},
		{"look", parleyv1connect.NodeStatusProcedure, http.StatusOK},
		{"look", parleyv1connect.NodeReceiveProcedure, http.StatusForbidden},
		{"look", parleyv1connect.NodeRemovePeerProcedure, http.StatusForbidden},
		{"do", parleyv1connect.NodeReceiveProcedure, http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+c.procedure, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		got, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != c.want {
			t.Errorf("%q asks %s: %s, want %d", c.token, c.procedure, got.Status, c.want)
		}
		if err := got.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
