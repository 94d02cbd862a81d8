package committee

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/identity"
)

// crashAt runs until the first member that reaches a step dies in it, once, and
// tells which it was.
func (g *gathering) crashAt(t *testing.T, step func(records []Record) bool) identity.ID {
	t.Helper()
	var died identity.ID
	for id, disk := range g.disks {
		disk.afterSync = func() {
			records, _, err := decodeState(disk.content)
			if err == nil && died.IsZero() && step(records) {
				died = id
				panic(crash{})
			}
		}
	}
	for died.IsZero() {
		g.turn(g.committee.Members[g.rng.IntN(len(g.committee.Members))])
	}
	for _, disk := range g.disks {
		disk.afterSync = nil
	}
	return died
}

func has(kind Kind) func([]Record) bool {
	return func(records []Record) bool { return count(records, kind) > 0 }
}

func count(records []Record, kind Kind) (number int) {
	for _, record := range records {
		if record.Kind == kind {
			number++
		}
	}
	return number
}

func TestSecretNonceIsStoredBeforeItsPublicNonceLeaves(t *testing.T) {
	g := gather(t, 3, 2, 1, 1)
	died := g.crashAt(t, has(NonceMade))
	for _, x := range g.exchanges {
		if x.Peer == died && x.Lane != "keys" && x.answered {
			t.Errorf("a public nonce left before the sync: %s", x.Key)
		}
	}
	before := g.rounds(died)
	g.run()
	for name, made := range before {
		if after := g.rounds(died)[name]; !bytes.Equal(after.PublicNonce, made.PublicNonce) {
			t.Errorf("%s: the member drew another nonce though the stored one wasn't consumed", name)
		}
	}
	if report := g.audit(); report.Err() != nil || report.Repeated != 0 {
		t.Errorf("got %+v, want no round repeated", report)
	}
}

func (g *gathering) rounds(id identity.ID) map[Round]Record {
	records, _, err := decodeState(g.disks[id].content)
	if err != nil {
		g.t.Fatal(err)
	}
	made := map[Round]Record{}
	for _, record := range records {
		if record.Kind == NonceMade {
			made[record.Round] = record
		}
	}
	return made
}

func TestConsumedNonceNeverSignsAfterACrash(t *testing.T) {
	g := gather(t, 3, 1, 1, 1)
	died := g.crashAt(t, has(NonceConsumed))
	g.run()

	lost := Round{Transaction: 0, Attempt: 1}
	for _, x := range g.exchanges {
		var req request
		var answer Answer
		if json.Unmarshal(x.Body, &req) != nil || json.Unmarshal(x.answer, &answer) != nil {
			t.Fatalf("exchange %s has a body that can't be read", x.Key)
		}
		if x.Peer == died && req.Subject == Partial && req.Round == lost && !answer.Void {
			t.Errorf("the member signed with a nonce that a crash may have taken: %s", x.Key)
		}
	}
	report := g.audit()
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Repeated != 1 || report.Valid != 1 {
		t.Errorf("got %+v, want the round repeated once, then signed", report)
	}
}

func TestNonceIsTakenOnce(t *testing.T) {
	g := gather(t, 2, 1, 1, 1)
	g.crashAt(t, has(NonceMade))
	g.run()
	state := g.members[g.committee.Members[0]].state
	if _, err := state.takeNonces([]use{{Round: Round{0, 1}}}); !errors.Is(err, errNonceGone) {
		t.Errorf("taking a consumed nonce: got %v, want %v", err, errNonceGone)
	}
	if _, err := state.takeNonces([]use{{Round: Round{0, 2}}}); !errors.Is(err, errNonceGone) {
		t.Errorf("taking a nonce that was never made: got %v, want %v", err, errNonceGone)
	}
}

func TestNonceIsNotHandedOutWhenItCantBeMarked(t *testing.T) {
	g := gather(t, 2, 1, 1, 1)
	died := g.crashAt(t, has(NonceMade))
	full := errors.New("no space left on device")
	g.disks[died].full = full
	for range 1000 {
		g.turn(g.committee.Members[0])
		g.turn(g.committee.Members[1])
		if errors.Is(g.failed[died], full) {
			break
		}
	}
	if !errors.Is(g.failed[died], full) {
		t.Fatalf("got %v, want the disk's error", g.failed[died])
	}
	for _, x := range g.exchanges {
		if x.Peer == died && strings.HasPrefix(x.Key, string(Partial)) && x.answered {
			t.Errorf("a partial signature left: %s", x.Key)
		}
	}
	g.disks[died].full = nil
	g.run()
	if err := g.audit().Err(); err != nil {
		t.Errorf("after there was room again: %v", err)
	}
}

func TestRedeliveredRequestGetsTheStoredAnswer(t *testing.T) {
	g := gather(t, 2, 1, 1, 1)
	died := g.crashAt(t, has(RequestApplied)) // stored, and the handler not told
	g.run()
	records, _, err := decodeState(g.disks[died].content)
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, x := range g.exchanges {
		if x.Peer != died {
			continue
		}
		if x.requestGiven > 1 {
			again++
		}
		for _, record := range records {
			if record.Kind != RequestApplied || record.Exchange != x.id {
				continue
			}
			stored, err := encode(record.Answer, g.committee.MessageSize)
			if err != nil || string(stored) != string(x.answer) {
				t.Errorf("%s: the answer that left isn't the stored one: %v", x.Key, err)
			}
		}
	}
	if again == 0 {
		t.Error("no request was given again: the test shows nothing")
	}
	if report := g.audit(); report.Twice != 0 || report.Err() != nil {
		t.Errorf("got %+v, want each effect once", report)
	}
}

func TestRedeliveredReplyIsAppliedOnce(t *testing.T) {
	g := gather(t, 2, 1, 1, 1)
	died := g.crashAt(t, has(ReplyApplied)) // stored, and not committed
	g.run()
	again := 0
	for _, x := range g.exchanges {
		if x.id.Dialer == died && x.replyGiven > 1 {
			again++
		}
	}
	if report := g.audit(); again == 0 || report.Err() != nil {
		t.Errorf("%d replies were given again: %+v", again, report)
	}
}
