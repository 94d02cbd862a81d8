package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

// What the handlers of members told, as the result tells it.
func TestResultTellsWhatWasDoneToTheSession(t *testing.T) {
	ids := make([]identity.ID, 4)
	for i := range ids {
		key, err := identity.Generate(identity.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = key.PeerID()
	}
	honest, mad, nobody := ids[1], ids[3], identity.ID{}
	v := newView(&gathering{Committee: committee.Committee{Members: ids[:3]}})
	tell := func(alerts ...alert) { v.take(bulletin{member: 0, news: memberNews{Alerts: alerts}}) }
	tell(
		alert{Kind: parley.StrangerRefused, Peer: nobody, Address: "/ip4/127.0.2.3/tcp/1", Count: 7},
		alert{Kind: parley.ConnectionLimitHit, Peer: nobody, Address: "/ip4/127.0.2.1/tcp/1", Count: 5},
		alert{Kind: parley.StrangerRefused, Peer: honest, Address: "/ip4/127.0.1.2/tcp/1", Count: 3}, // while it was off the lists
		alert{Kind: parley.StrangerRefused, Peer: mad, Address: "/ip4/127.0.1.4/tcp/1", Count: 2},
		alert{Kind: parley.ProtocolViolation, Peer: mad, Count: 1, Text: "header too long", KeptOut: time.Second},
		alert{Kind: parley.ProtocolViolation, Peer: mad, Count: 1, Text: "header too long", KeptOut: 2 * time.Second},
		alert{Kind: parley.PeerLimited, Peer: mad, Count: 1, Text: "ExchangesPerSecond: 200"},
	)
	v.take(bulletin{fault: stall})
	v.take(bulletin{fault: cut})
	v.take(bulletin{member: 2, listing: &listing{away: true, lasts: 700 * time.Millisecond}})
	if !strings.Contains(v.troubles(), "unlisted member-3") {
		t.Errorf("while a member is off the lists: %q", v.troubles())
	}
	v.take(bulletin{member: 2, listing: &listing{lasts: 700 * time.Millisecond}})

	r := &result{options: demoOptions{crash: true, chaos: true}, view: *v, strangers: onslaught{connections: 99}}
	var out bytes.Buffer
	if err := writeResult(colorprofile.NewWriter(&out, nil), r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"connections disturbed         2  cut 1, reset 0, stall 1, half-close 0",
		"member-3               unlisted  off all lists for 0.7 s, and back",
		"strangers                    99  connections tried, 12 told to the operators",
		"rules it broke                2  kept out each time, for longer, at last for 2s",
		"2  header too long",
		"1  ExchangesPerSecond: 200",
		"honest members blamed         0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q isn't in the result:\n%s", want, &out)
		}
	}
	if err := r.Err(); err != nil {
		t.Errorf("nothing is off, and yet: %v", err)
	}

	tell(alert{Kind: parley.ProtocolViolation, Peer: honest, Count: 1, Text: "WELCOME without HELLO"})
	r.view = *v
	want := "an honest member is blamed: member-2 by member-1: protocol violation (WELCOME without HELLO)"
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	r.view, r.strangers.answers = *newView(v.findings.gathering), 1
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "strangers got 1 answers") {
		t.Errorf("a stranger that was answered: %v", err)
	}
}
