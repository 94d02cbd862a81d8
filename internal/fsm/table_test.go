package fsm

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-p2p/parley/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/*.table, testdata/records.txt and docs/state-machines.md anew")

// A table is a state machine as it is seen from outside: every state is driven
// to in a fresh machine, every input put to it, and what follows written down.
type table struct {
	name   string // of its file
	about  string
	states []state
	inputs []event
	at     func(*scene) string // the state that the subject is in now
}

// state is how a fresh machine is driven there.
type state struct {
	constant string // in the source; empty: a variant of one before, or no state of the enum
	name     string
	drive    func(*node) *scene
}

// scene is a machine in some state, and what an input may be about.
type scene struct {
	*node
	number int    // of the subject
	conn   Conn   // 0: none
	bound  Stream // 0: none
	other  Stream // one of the peer's, on which nothing has been said
	large  *frame // whose payload is being read on the bound stream: nothing else comes there
	next   Ready
}

// event is an input; false when it can't come in the scene.
type event struct {
	name  string
	apply func(*scene) bool
}

// step and arrive keep what follows from the input.
func (s *scene) step(in ...Input) bool { s.next = s.node.step(in...); return true }

func (s *scene) arrive(stream Stream, f frame) bool {
	if s.conn == 0 || stream == 0 || s.large != nil && stream == s.bound {
		return false
	}
	if f.PayloadSize() > wire.MaxInline && f.Kind != wire.Hello {
		s.next = s.node.offer(s.conn, stream, f)
	} else {
		s.next = s.node.arrive(s.conn, stream, f)
	}
	return true
}

type cell struct{ from, input, to, outcome string }

func (tb *table) cells(t *testing.T) []cell {
	var all []cell
	for _, from := range tb.states {
		for _, in := range tb.inputs {
			n := newNode(t)
			s := from.drive(n)
			s.node = n
			if got := tb.at(s); got != plain(from.name) {
				t.Fatalf("%s: the scene for %q is %q", tb.name, from.name, got)
			}
			n.told()
			c := cell{from: from.name, input: in.name}
			if in.apply(s) {
				c.to = tb.at(s)
				c.outcome = s.outcome()
			}
			all = append(all, c)
		}
	}
	return all
}

// plain is a state's name without the variant that stands behind a comma.
func plain(name string) string { before, _, _ := strings.Cut(name, ","); return before }

// uploaded brings the payload that is being read.
func (s *scene) uploaded() bool {
	return s.large != nil && s.step(s.arrived(s.conn, s.bound, *s.large))
}

// outcome is what followed from an input, in words.
func (s *scene) outcome() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	r := s.next
	if records := recordKinds(r.Batch.Records); len(records) > 0 {
		add("write %s", strings.Join(records, " "))
	}
	if len(r.Batch.Drop) > 0 {
		add("drop payload")
	}
	if r.Batch.Sync {
		add("sync")
	}
	for _, a := range r.Actions {
		switch a := a.(type) {
		case Send:
			where := ""
			if s.bound != 0 && a.Stream != s.bound {
				where = " elsewhere"
			}
			add("send %s%s", frameName(a.Frame), where)
		case Dial:
			add("dial")
		case Accept:
			add("accept")
		case Reset:
			if a.Stream == s.bound {
				add("reset its stream")
			} else {
				add("reset the stream")
			}
		case Disconnect:
			if a.Graceful {
				add("hang up gracefully")
			} else {
				add("hang up")
			}
		}
	}
	for _, n := range r.Notices {
		if n.Kind == Violation {
			add("violation: %s", n.Detail)
		} else {
			add("notice: %v", n.Kind)
		}
	}
	for _, a := range r.Answers {
		if a.Err != nil {
			add("error: %v", a.Err)
		} else {
			add("ok")
		}
	}
	for _, told := range s.told() {
		add("tell %s", told)
	}
	if len(parts) == 0 {
		return "ignored"
	}
	return strings.Join(parts, "; ")
}

func recordKinds(records []Record) []string {
	names := map[byte]string{dialerKey: "dialer", responderKey: "responder", endedKey: "ended", blameKey: "blame", historyKey: "history", inboundKey: "inbound", outboundKey: "outbound"}
	var kinds []string
	for _, r := range records {
		kind := names[r.Key[0]]
		if r.Value == nil {
			kind = "no-" + kind
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

func (tb *table) text(cells []cell) string {
	var b strings.Builder
	b.WriteString(tb.about)
	from := ""
	for _, c := range cells {
		if c.from != from {
			from = c.from
			fmt.Fprintf(&b, "\n%s\n", from)
		}
		switch {
		case c.outcome == "":
			fmt.Fprintf(&b, "    %-44s cannot meet\n", c.input)
		case c.to != plain(c.from) && c.outcome == "ignored":
			fmt.Fprintf(&b, "    %-44s -> %s\n", c.input, c.to)
		case c.to == plain(c.from):
			fmt.Fprintf(&b, "    %-44s %s\n", c.input, c.outcome)
		default:
			fmt.Fprintf(&b, "    %-44s -> %s: %s\n", c.input, c.to, c.outcome)
		}
	}
	return b.String()
}

func tables() []*table { return []*table{dialerTable(), responderTable(), connectionTable()} }

func TestTablesOfEveryStateAndInput(t *testing.T) {
	for _, tb := range tables() {
		t.Run(tb.name, func(t *testing.T) { golden(t, "testdata/"+tb.name+".table", tb.text(tb.cells(t))) })
	}
}

func TestTablesLeaveNoStateOut(t *testing.T) {
	for _, enum := range []struct{ file, kind string }{{"dialer.go", "DialerState"}, {"responder.go", "ResponderState"}, {"connection.go", "ConnState"}} {
		want := constants(t, enum.file, enum.kind)
		if len(want) < 2 {
			t.Fatalf("no constants of %s found in %s", enum.kind, enum.file)
		}
		var got []string
		for _, tb := range tables() {
			for _, s := range tb.states {
				got = append(got, s.constant)
			}
		}
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("no table has a way to %s %s", enum.kind, name)
			}
		}
	}
}

// constants are the names of a type's constants, in the order of the source.
func constants(t *testing.T, file, kind string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range parsed.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		mine := false
		for _, spec := range block.Specs {
			v := spec.(*ast.ValueSpec)
			if v.Type != nil {
				id, ok := v.Type.(*ast.Ident)
				mine = ok && id.Name == kind
			}
			if mine {
				names = append(names, v.Names[0].Name)
			}
		}
	}
	return names
}

func difference(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

func delivered(f *wire.Frame)    { f.Delivered = true }
func possiblySeen(f *wire.Frame) { f.PossiblySeen = true }
func huge(f *wire.Frame)         { f.Size = 5 << 20 }
