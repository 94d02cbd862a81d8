package parley

import (
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/p2p"
)

// newPayloads is a journal in memory as the P2P protocol sees it.
func newPayloads(t *testing.T) payloads {
	t.Helper()
	j, err := journal.Open("", journal.Options{Owner: "a peer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return payloads{j, slog.New(slog.DiscardHandler)}
}

func TestDroppedPayloadIsGoneForTheP2PProtocol(t *testing.T) {
	p := newPayloads(t)
	for _, size := range []int{1 << 10, 4 << 20} { // in the log, and in a file
		number := p.NextPayload()
		w, err := p.CreatePayload(number, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		r, err := p.OpenPayload(number)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(size) {
			t.Errorf("read %d of %d bytes: %v", n, size, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}

		p.DropPayload(number)
		if r, err := p.OpenPayload(number); !errors.Is(err, p2p.ErrGone) || r != nil {
			t.Errorf("%d bytes opened: %v, %v", size, r, err)
		}
		if _, err := p.Payload(number); !errors.Is(err, p2p.ErrGone) {
			t.Errorf("%d bytes read: %v", size, err)
		}
	}
}
