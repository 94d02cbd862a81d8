package main

import (
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"
)

func TestACallThatTheNodeDoesNotKnowIsOfAnotherRelease(t *testing.T) {
	err := said(connect.NewError(connect.CodeUnimplemented, errors.New("HTTP status 404 Not Found")))
	if !strings.Contains(err.Error(), "of another release") || strings.Contains(err.Error(), "404") {
		t.Errorf("it says %q", err)
	}
	if err := said(connect.NewError(connect.CodeNotFound, errors.New("no such exchange"))); err.Error() != "no such exchange" {
		t.Errorf("it says %q", err)
	}
}
