package main

import (
	"bytes"
	"encoding/json"
	"testing"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

func TestAnAnswerIsOneLineOfJSONWhateverIsInIt(t *testing.T) {
	for _, c := range []struct {
		answer any
		want   string
	}{
		{&v1.ListPeersRequest{}, `{"schema":"parley/1"}`},
		{&v1.RejectRequest{Id: "a,}b", Reason: "{\n,{"}, `{"schema":"parley/1","id":"a,}b","reason":"{\n,{"}`},
		{&madeNode{ID: ",}", Directory: "{"}, `{"schema":"parley/1","id":",}","directory":"{"}`},
	} {
		var out bytes.Buffer
		if err := printJSON(&out, c.answer); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != c.want+"\n" || !json.Valid(out.Bytes()) {
			t.Errorf("got %s want %s", got, c.want)
		}
	}
}
