package committee

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func batches(t *testing.T, kinds ...Kind) (content []byte, ends []int) {
	t.Helper()
	for n, kind := range kinds {
		batch, err := encodeBatch([]Record{{Kind: kind, Time: int64(n), Round: Round{n, 1}}, {Kind: RoundJoined, Round: Round{n, 2}}})
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, batch...)
		ends = append(ends, len(content))
	}
	return content, ends
}

func TestStateTornAtEveryByteLosesOnlyTheLastBatch(t *testing.T) {
	content, ends := batches(t, RoundVoided, NonceMade, Signed)
	whole, _, err := decodeState(content)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(content) + 1 {
		want := 0 // batches
		for want < len(ends) && ends[want] <= cut {
			want++
		}
		records, size, err := decodeState(content[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(records) != 2*want || want > 0 && !reflect.DeepEqual(records, whole[:2*want]) {
			t.Fatalf("cut at %d: got %+v, want %+v", cut, records, whole[:2*want])
		}
		if want > 0 && size != int64(ends[want-1]) || want == 0 && size != 0 {
			t.Fatalf("cut at %d: %d bytes kept of %v", cut, size, ends)
		}
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	content, ends := batches(t, RoundVoided, NonceMade)
	for at := range ends[0] - 1 { // its newline joins the two lines: they are one torn one
		changed := append([]byte(nil), content...)
		changed[at] ^= 0x01
		if _, _, err := decodeState(changed); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: got %v, want %v", at, err, ErrDamaged)
		}
	}
}

func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	state, err := OpenState(path)
	if err != nil {
		t.Fatal(err)
	}
	key := state.key.Serialize()
	if err := state.append(Record{Kind: RoundVoided, Round: Round{3, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := state.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := state.append(Record{Kind: RoundVoided, Round: Round{4, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	if status, err := os.Stat(path); err != nil || status.Mode().Perm() != 0o600 {
		t.Errorf("the state file's mode is %v (%v), want 0600", status.Mode(), err)
	}
	if state, err = OpenState(path); err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if !bytes.Equal(state.key.Serialize(), key) {
		t.Error("the signing key changed")
	}
	if got := state.current(3).Attempt; got != 2 {
		t.Errorf("what was synced: attempt %d, want 2", got)
	}
	if got := state.current(4).Attempt; got != 1 {
		t.Errorf("what wasn't synced: attempt %d, want 1", got)
	}
}

func TestStateRefusesWhatCantBe(t *testing.T) {
	for name, record := range map[string]Record{
		"an unknown kind":             {Kind: "nonsense"},
		"a nonce consumed that isn't": {Kind: NonceConsumed, Round: Round{0, 1}},
		"a short secret nonce":        {Kind: NonceMade, Secret: Bytes{1}},
		"a short public nonce":        {Kind: ReplyApplied, Ask: Ask{Nonce, Round{0, 1}}, Answer: Answer{Value: Bytes{1}}},
		"a key off the curve":         {Kind: ReplyApplied, Ask: Ask{Subject: Key}, Answer: Answer{Value: make(Bytes, 33)}},
		"a partial of a wrong size":   {Kind: ReplyApplied, Ask: Ask{Partial, Round{0, 1}}, Answer: Answer{Value: Bytes{1}}},
	} {
		state, err := openState(&disk{fate: &fate{}}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := state.append(record); err == nil {
			t.Errorf("%s was taken", name)
		}
		if len(state.pending) != 0 {
			t.Errorf("%s will be stored", name)
		}
	}
}
