package parley

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/fsm"
	"github.com/parley-p2p/parley/internal/journal"
	"github.com/parley-p2p/parley/internal/mediator"
)

// somebody is a peer of these tests.
func somebody(t testing.TB) identity.ID {
	t.Helper()
	key, err := identity.Generate(identity.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return key.PeerID()
}

func TestEveryNoticeIsAnEvent(t *testing.T) {
	peer, tag := somebody(t), [16]byte{1}
	kinds := map[Kind]bool{}
	for kind := fsm.MessageDropped; kind <= fsm.PeerLimited; kind++ {
		n := fsm.Notice{Kind: kind, Peer: peerOf(peer), Name: fsm.Name{Dialer: peerOf(peer), Tag: tag}, Detail: "why"}
		e := eventOfNotice(n)
		if !e.Kind.Priority() || e.Peer != peer || e.ID != (ID{peer, tag}) || e.Count != 1 || e.Time.IsZero() || e.Kind != PeerHalted && !strings.Contains(e.Err.Error(), "why") {
			t.Errorf("%v is told as %+v", kind, e)
		}
		if strings.HasPrefix(e.Kind.String(), "kind ") {
			t.Errorf("%v is told as %v, which has no name", kind, e.Kind)
		}
		kinds[e.Kind] = true
	}
	if len(kinds) < 10 {
		t.Errorf("only %d kinds are told apart", len(kinds))
	}
	if got := Kind(200).String(); got != "kind 200" {
		t.Errorf("a kind without a name is %q", got)
	}
}

func TestErrorsSayWhoAndWhich(t *testing.T) {
	peer := somebody(t)
	id := ID{peer, [16]byte{7}}
	for _, test := range []struct {
		err  error
		is   error
		says []string
	}{
		{&RejectedError{Peer: peer, ID: id}, ErrRejected, []string{peer.String(), id.String()}},
		{&RejectedError{Peer: peer, ID: id, Reason: "closed today"}, ErrRejected, []string{id.String(), "closed today"}},
		{&PeerError{Peer: peer, Err: ErrFenced}, ErrFenced, []string{peer.String(), ErrFenced.Error()}},
		{&PeerError{Peer: peer, ID: id, Err: ErrAnswered}, ErrAnswered, []string{peer.String(), id.String()}},
	} {
		if !errors.Is(test.err, test.is) {
			t.Errorf("%v isn't %v", test.err, test.is)
		}
		for _, word := range test.says {
			if !strings.Contains(test.err.Error(), word) {
				t.Errorf("%q doesn't say %q", test.err, word)
			}
		}
	}
	if other := errors.New("the cable is cut"); reasonOf(other) != other {
		t.Errorf("a reason that has no name became %v", reasonOf(other))
	}
}

func TestIDInJSONIsItsText(t *testing.T) {
	id := ID{somebody(t), [16]byte{1, 2, 3}}
	text, err := json.Marshal(id)
	if err != nil || string(text) != `"`+id.String()+`"` {
		t.Fatalf("written as %s, %v", text, err)
	}
	var again ID
	if err := json.Unmarshal(text, &again); err != nil || again != id {
		t.Fatalf("read as %v, %v", again, err)
	}
	if err := json.Unmarshal([]byte(`"nobody"`), &again); err == nil {
		t.Fatal("what is no ID is read")
	}
}

// FuzzParseID reads arbitrary texts. What is taken is written in one way, and read
// back as the same; what isn't is quoted in the error, but for what is endless.
func FuzzParseID(f *testing.F) {
	id := ID{somebody(f), [16]byte{1, 2, 3}}
	f.Add(id.String())
	f.Add(strings.ToUpper(id.String()))
	f.Add(id.String() + "00")
	f.Add("/" + strings.Repeat("0", 32))
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			if id != (ID{}) || len(err.Error()) > 4*len(text)+200 {
				t.Fatalf("refused with %v and %v", id, err)
			}
			return
		}
		again, err := ParseID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q is %v, and that is %v, %v", text, id, again, err)
		}
	})
}

func TestAlertsThatNobodyTakesArePutTogether(t *testing.T) {
	var a aside
	alice, bob := somebody(t), somebody(t)
	limit := func(peer identity.ID, why string) apart {
		return apart{Event: Event{Kind: PeerLimited, Peer: peer, Count: 1, Err: errors.New(why)}}
	}
	for range 5 {
		a.put(limit(alice, "too much"))
	}
	a.put(limit(bob, "too much"))
	a.put(limit(alice, "too fast"))
	if len(a.events) != 3 || a.events[0].Count != 5 {
		t.Fatalf("seven alerts about three things wait as %d, the first for %d", len(a.events), a.events[0].Count)
	}
	for i := range 2 * mediator.AlertRoom { // each about something else: the oldest go
		a.put(limit(alice, fmt.Sprint("limit ", i)))
	}
	if len(a.events) != mediator.AlertRoom {
		t.Fatalf("%d alerts wait, there is room for %d", len(a.events), mediator.AlertRoom)
	}
	if last := a.events[len(a.events)-1]; last.Err.Error() != fmt.Sprint("limit ", 2*mediator.AlertRoom-1) {
		t.Fatalf("the last is %v", last.Err)
	}
}

func TestWaitingRequestsThatAreGivenUpAreTakenOut(t *testing.T) {
	var w waiting
	request := func(peer fsm.Peer, n byte) fsm.Delivery {
		return fsm.Delivery{Peer: peer, Name: fsm.Name{Dialer: peer, Tag: [16]byte{n}}}
	}
	for n := range byte(3) {
		w.add(request("alice", n))
	}
	w.add(request("bob", 9))
	w.add(request("carol", 10))
	w.remove(request("alice", 1))
	w.remove(request("alice", 1)) // it is gone
	w.remove(request("bob", 9))
	w.remove(request("nobody", 0))
	var got []byte
	for w.count > 0 {
		got = append(got, w.next().Name.Tag[0])
	}
	if !slices.Equal(got, []byte{0, 10, 2}) || len(w.of)+len(w.turns) != 0 {
		t.Fatalf("served %v, and %d peers are left", got, len(w.of)+len(w.turns))
	}
}

// Whoever watches over a node has to see that it hangs, and not to restart it for a
// disk that is slow.
func TestANodeThatHangsIsNotWell(t *testing.T) {
	if err := stuck(longTurn - 1); err != nil {
		t.Errorf("a long turn: %v", err)
	}
	if err := stuck(time.Minute); !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("a turn of a minute: %v", err)
	}
}

// A message that can't be stored is refused with the reason: the disk, the
// journal, or whatever else it was.
func TestWhatCouldNotBeStoredIsSaidWithItsReason(t *testing.T) {
	j, err := journal.Open("", journal.Options{Owner: "a peer"})
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{journal: j, log: slog.New(slog.DiscardHandler)}
	h.loop = mediator.NewLoop(mediator.NewTurn(fsm.New(fsm.Config{}), log{j, &h.syncs}), nil, nil, nil) // which doesn't run
	if err := h.unstored(fmt.Errorf("write: %w", syscall.ENOSPC)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("a full disk gives %v", err)
	}
	if err := h.unstored(errors.New("no permission")); errors.Is(err, ErrDiskFull) || errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("another reason gives %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.unstored(journal.ErrClosed); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("a journal that is closed gives %v", err)
	}
	large := make([]byte, fsm.MaxInline+1)
	if p, err := h.stage(large, maxInlineBatch); err == nil || p.Hash != sha256.Sum256(large) {
		t.Errorf("a payload is staged in a closed journal: %+v, %v", p, err)
	}
	h.unstage([]fsm.Outgoing{{Payload: fsm.Payload{Number: 1, Size: 1}}}) // says so in its log, and that is all
	payloads{j, h.log}.DropPayload(1)                                     // likewise
}

func TestAnAlertWithoutATimeIsOfNow(t *testing.T) {
	before := time.Now()
	if e := eventOfNotice(fsm.Notice{Kind: fsm.Violation}); e.Time.Before(before) {
		t.Errorf("it is of %v", e.Time)
	}
}

// A disk that is nearly full needs room, a journal that has failed another start.
func TestTroubleWithTheJournalIsToldApart(t *testing.T) {
	full := eventOfNotice(fsm.Notice{Kind: fsm.JournalTrouble, Detail: fsm.ErrDiskFull.Error()})
	if !errors.Is(full.Err, ErrDiskFull) || errors.Is(full.Err, ErrJournal) {
		t.Errorf("a full disk is %v", full.Err)
	}
	failed := eventOfNotice(fsm.Notice{Kind: fsm.JournalTrouble, Detail: "no space left"})
	if !errors.Is(failed.Err, ErrJournal) || errors.Is(failed.Err, ErrDiskFull) {
		t.Errorf("a journal that failed is %v", failed.Err)
	}
}
