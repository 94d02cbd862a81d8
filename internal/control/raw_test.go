package control

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"connectrpc.com/connect"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func TestACallThatCanNotBeWaitedForMakesNoRequest(t *testing.T) {
	a, _ := pair(t)
	for _, wait := range []string{"10m", "-1s", "soon"} {
		if got := a.raw(t, http.MethodPost, "/v1/requests?peer=peer&wait="+wait, []byte("question")); got.status != http.StatusBadRequest {
			t.Errorf("waiting for %s: %d %s", wait, got.status, got.body)
		}
	}
	if made := a.handler.Exchanges(); len(made) != 0 {
		t.Errorf("it made %d requests", len(made))
	}
}

func TestWhatARawCallDoesNotKnowIsRefused(t *testing.T) {
	a, b := pair(t)
	id := a.send(t, "", "question")
	b.next(t, 0)
	call := "/v1/exchanges/" + id
	for _, c := range []struct {
		side
		method, path, body string
	}{
		{b, http.MethodGet, call + "/body?peer=peer", ""},
		{b, http.MethodPost, call + "/reply?lane=x", "answer"},
		{b, http.MethodPost, call + "/reject?reason=no", ""},
		{b, http.MethodPost, call + "/reject?reason=no", "because"},
		{a, http.MethodPost, call + "/cancel?why=late", ""},
		{a, http.MethodPost, call + "/cancel", "late"},
		{a, http.MethodPost, call + "/commit?wait=1s", ""},
		{a, http.MethodPost, call + "/commit", "done"},
	} {
		if got := c.raw(t, c.method, c.path, []byte(c.body)); got.status != http.StatusBadRequest {
			t.Errorf("%s %s, with %q: %d %s", c.method, c.path, c.body, got.status, got.body)
		}
	}
	x, err := a.client.GetExchange(t.Context(), &v1.GetExchangeRequest{Id: id})
	if err != nil || x.Ended != nil {
		t.Errorf("the exchange is over: %v (%v)", x, err)
	}
	if got := b.raw(t, http.MethodPost, call+"/reply", []byte("answer")); got.status != http.StatusNoContent {
		t.Errorf("it can't be answered any more: %d %s", got.status, got.body)
	}
}

func TestABodyThatPausedIsTheClientsDoing(t *testing.T) {
	w := httptest.NewRecorder()
	refuse(w, connect.NewError(connect.CodeCanceled, fmt.Errorf("nothing has come: %w", os.ErrDeadlineExceeded)))
	if w.Code != http.StatusRequestTimeout || w.Body.String() != "nothing has come: i/o timeout\n" {
		t.Errorf("it is answered with %d %s", w.Code, w.Body)
	}
}
