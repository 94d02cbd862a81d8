package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/internal/wire"
)

// What is expected, in words.

// sent is the frames of a Ready, in order, as "REQUEST 1" or "ACK of REPLY 3".
func sent(r Ready) []string {
	var all []string
	for _, a := range r.Actions {
		if s, ok := a.(Send); ok {
			all = append(all, frameName(s.Frame))
		}
	}
	return all
}

func frameName(f wire.Frame) string {
	name := f.Kind.String()
	if f.Refusal != 0 {
		name += " " + f.Refusal.String()
	}
	if f.Of != 0 {
		name += " of " + f.Of.String()
	}
	if f.Seq != 0 {
		name += fmt.Sprintf(" %d", f.Seq)
	}
	return name
}

// wantSent checks which frames the last step sent, and only those.
func (n *node) wantSent(why string, frames ...string) {
	n.t.Helper()
	if got := sent(n.ready); !slices.Equal(got, frames) {
		n.t.Fatalf("%s: sent %q, want %q\n%s", why, got, frames, n.transcript())
	}
}

// the frame that the last step sent of a kind.
func (n *node) sentFrame(kind wire.Kind) Send {
	n.t.Helper()
	for _, a := range n.ready.Actions {
		if s, ok := a.(Send); ok && s.Frame.Kind == kind {
			return s
		}
	}
	n.t.Fatalf("no %v was sent\n%s", kind, n.transcript())
	return Send{}
}

// did is the last step's actions other than frames.
func (n *node) wantDone(why string, want ...Action) {
	n.t.Helper()
	var got []Action
	for _, a := range n.ready.Actions {
		if _, ok := a.(Send); !ok {
			got = append(got, a)
		}
	}
	if !reflect.DeepEqual(got, want) {
		n.t.Fatalf("%s: did %v, want %v\n%s", why, got, want, n.transcript())
	}
}

func (n *node) wantState(why string, number int, want DialerState) {
	n.t.Helper()
	if s, _ := n.m.Exchange(made(number)); s.Dialer != want {
		n.t.Fatalf("%s: exchange %d is %v, want %v\n%s", why, number, stateName(s.Dialer), want, n.transcript())
	}
}

func (n *node) wantAsked(why string, number int, want ResponderState) {
	n.t.Helper()
	if s, _ := n.m.Exchange(asked(number)); s.Responder != want {
		n.t.Fatalf("%s: alice's exchange %d is %v, want %v\n%s", why, number, askedName(s.Responder), want, n.transcript())
	}
}

func stateName(s DialerState) string {
	if s == 0 {
		return "unknown"
	}
	return s.String()
}

func askedName(s ResponderState) string {
	if s == 0 {
		return "unknown"
	}
	return s.String()
}

// wantNotice checks what the operator was told in the last step, and only that.
func (n *node) wantNotice(why string, kinds ...NoticeKind) {
	n.t.Helper()
	var got []NoticeKind
	for _, notice := range n.ready.Notices {
		got = append(got, notice.Kind)
	}
	if !slices.Equal(got, kinds) {
		n.t.Fatalf("%s: told %v, want %v\n%s", why, got, kinds, n.transcript())
	}
}

// wantViolation checks that the peer was blamed for it and disconnected.
func (n *node) wantViolation(why string) {
	n.t.Helper()
	n.wantNotice(why, Violation)
	for _, a := range n.ready.Actions {
		if s, ok := a.(Shun); ok && s.Until.After(n.now) {
			return
		}
	}
	n.t.Fatalf("%s: the peer wasn't disconnected\n%s", why, n.transcript())
}

// wantNothing checks that the last step changed and did nothing.
func (n *node) wantNothing(why string) {
	n.t.Helper()
	r := n.ready
	if len(r.Actions)+len(r.Notices)+len(r.Batch.Records)+len(r.Batch.Drop) != 0 {
		n.t.Fatalf("%s: something happened\n%s", why, n.transcript())
	}
}

// wantAnswer checks what the call of the last step was answered with.
func (n *node) wantAnswer(why string, want error) {
	n.t.Helper()
	if len(n.ready.Answers) != 1 || n.ready.Answers[0].Err != want {
		n.t.Fatalf("%s: answered %v, want %v", why, n.ready.Answers, want)
	}
}

// told is all that the application is handed out now.
func (n *node) told() []string {
	var all []string
	for {
		d, ok := n.m.Deliver()
		if !ok {
			return all
		}
		text := fmt.Sprintf("%v %d", d.Kind, int(d.Name.Tag[14])<<8|int(d.Name.Tag[15]))
		if d.Redelivered {
			text += " again"
		}
		if d.PossiblySeen {
			text += " possibly seen"
		}
		if d.Kind == RequestReceived {
			n.m.Step(n.now, Taken{d.Name})
		}
		all = append(all, text)
	}
}

func (n *node) wantTold(why string, want ...string) {
	n.t.Helper()
	if diff := cmp.Diff(want, n.told()); diff != "" {
		n.t.Fatalf("%s: told otherwise (-want +got):\n%s", why, diff)
	}
}

// transcript is the last Ready for a reader.
func (n *node) transcript() string {
	var b strings.Builder
	for _, r := range n.ready.Batch.Records {
		fmt.Fprintf(&b, "  record %c %d bytes\n", r.Key[0], len(r.Value))
	}
	if n.ready.Batch.Sync {
		b.WriteString("  sync\n")
	}
	for _, a := range n.ready.Actions {
		if s, ok := a.(Send); ok {
			fmt.Fprintf(&b, "  send %d/%d %s\n", s.Conn, s.Stream, frameName(s.Frame))
		} else {
			fmt.Fprintf(&b, "  %T %+v\n", a, a)
		}
	}
	for _, notice := range n.ready.Notices {
		fmt.Fprintf(&b, "  notice %v: %s\n", notice.Kind, notice.Detail)
	}
	for _, a := range n.ready.Answers {
		fmt.Fprintf(&b, "  answer %v\n", a.Err)
	}
	return b.String()
}
