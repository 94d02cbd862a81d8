package parley_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/limits.md anew")

const limitsPage = "docs/limits.md"

// TestLimitsAreListed holds docs/limits.md to the source: to the names, values and
// comments of all limits.
func TestLimitsAreListed(t *testing.T) {
	limits := readLimits(t)
	page := limits.page(t)
	if *rewrite {
		if err := os.WriteFile(limitsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != page {
		t.Errorf("%s is not what the source says, from here on:\n%s\nWrite it anew: go test -run LimitsAreListed . -rewrite",
			limitsPage, firstDifference(string(have), page))
	}
}

// TestDefaultsAreWrittenAsTheyAre holds the defaults in the comments of Config to
// those in the code.
func TestDefaultsAreWrittenAsTheyAre(t *testing.T) {
	for _, c := range readLimits(t).config {
		_, stated := cutDefault(c.says)
		for i, q := range c.values {
			if strings.Contains(stated, q.String()) || len(c.values) > 1 && strings.Contains(stated, "times that") && i > 0 {
				continue
			}
			t.Errorf("%s: the default of %s is %s; its comment says %q", c.at, c.names[i], q, stated)
		}
	}
}

const pageBegins = `# Limits

Whatever a stranger, a peer or the application can make a node hold, start or write has a limit, and every limit has a name: a field of
[Config](../config.go), which can be set, or a constant. This page lists them all, with what they come to.

A test writes it from the source, as values and comments have it, and fails when they differ. Another demands of every map, list, queue, channel,
goroutine, file that stays open and kind of record that its comment names the limit, or says for each of what there is one. After a change,
` + "`go test -run LimitsAreListed . -rewrite`" + ` writes the page anew.

What each limit means to a user is in the [manual](../doc.go), who can reach which in [security.md](security.md), and what both sides of the protocol
have to keep in [section 5 of the protocol](protocol.md#5-limits).

`

const sumsBegin = `## What it comes to

Worst cases with the defaults, which nobody who means well comes near. The limits of all hold however many peers there are; the rooms of one peer are
beside those of the others, so that nobody is kept out of his by what others fill. A goroutine takes some 8 KiB besides, and libp2p, Pebble and Go's
runtime have memory of their own.

`

const eachBegins = `## What there is one of for each

What has no limit of its own belongs to something that has, and goes with it.

`

// page is the whole of docs/limits.md.
func (l *limits) page(t *testing.T) string {
	var b strings.Builder
	b.WriteString(pageBegins)
	b.WriteString("1. [What it comes to](#what-it-comes-to)\n2. [What there is one of for each](#what-there-is-one-of-for-each)\n")
	b.WriteString("3. [What can be set](#what-can-be-set)\n4. [Constants](#constants)\n\n")
	b.WriteString(sumsBegin)
	l.writeSums(t, &b)
	b.WriteString(eachBegins)
	b.WriteString("| for each | there are at most |\n|---|---|\n")
	for _, thing := range slices.Sorted(maps.Keys(countable)) {
		fmt.Fprintf(&b, "| %s | %s |\n", thing, countable[thing])
	}
	b.WriteString("\n## What can be set\n\nFields of `Config`. Zero means the default.\n")
	heading := ""
	for _, c := range l.config {
		if h := l.headings[c.names[0]]; h != heading {
			heading = h
			fmt.Fprintf(&b, "\n### %s\n\n| field | default | what it bounds, and what happens at it |\n|---|---|---|\n", heading)
		}
		says, _ := cutDefault(c.says)
		l.writeRow(&b, c, says)
	}
	b.WriteString("\n### Of one member\n\nThe allow list can set these for each; `allowlist.Limits`. Zero means what `Config` says.\n\n| field | what it bounds, and what happens at it |\n|---|---|\n")
	_, fields := l.structOf(t, "allowlist", "Limits")
	for _, field := range fields.List {
		for _, name := range field.Names {
			of := limit{folder: "allowlist", names: []string{name.Name}}
			fmt.Fprintf(&b, "| `%s` | %s |\n", name.Name, l.cell(of, sentences(field.Doc, field.Comment)))
		}
	}
	b.WriteString("\n## Constants\n")
	for _, r := range house {
		l.writeRoom(&b, r)
	}
	return b.String()
}

// writeRoom lists the constants of a package.
func (l *limits) writeRoom(b *strings.Builder, r room) {
	begun := false
	for _, c := range l.constants {
		if c.folder != r.packages[0] {
			continue
		}
		if !begun {
			begun = true
			fmt.Fprintf(b, "\n### %s\n\n| constant | value | what it bounds, and what happens at it |\n|---|---|---|\n", strings.ReplaceAll(listed(r.packages), "`", ""))
		}
		l.writeRow(b, c, c.says)
	}
}

// writeRow writes a limit as a row of a table.
func (l *limits) writeRow(b *strings.Builder, c limit, says string) {
	var names, values []string
	for i, name := range c.names {
		names = append(names, "`"+name+"`")
		values = append(values, c.values[i].String())
	}
	fmt.Fprintf(b, "| %s | %s | %s |\n", strings.Join(names, ", "), strings.Join(values, "; "), l.cell(c, says))
}

// cell is a comment in a table. What stands beside it, or above, isn't repeated.
func (l *limits) cell(c limit, says string) string {
	if len(c.names) == 1 {
		says = strings.TrimPrefix(says, c.names[0]+" ")
		says = strings.TrimPrefix(strings.TrimPrefix(says, "is "), "bounds ")
	}
	if says == "" {
		return ""
	}
	says = linked.ReplaceAllString(says, "$1")
	says = limitWord.ReplaceAllStringFunc(says, func(word string) string {
		if l.names(c.folder, word) {
			return "`" + word + "`"
		}
		return word
	})
	says = strings.ReplaceAll(strings.TrimSuffix(says, "."), "|", `\|`)
	return strings.ToUpper(says[:1]) + says[1:] + "."
}

// linked is a name of the source, as comments link to it.
var linked = regexp.MustCompile(`\*?\[([A-Za-z.]+)\]`)

// defaultStated is the sentence of a comment that states a default.
var defaultStated = regexp.MustCompile(`Defaults?:? [^.]*(\.|$)`)

// cutDefault takes the sentence out of a comment that states the default.
func cutDefault(says string) (rest, stated string) {
	stated = defaultStated.FindString(says)
	rest = strings.TrimSpace(defaultStated.ReplaceAllString(says, ""))
	return strings.ReplaceAll(rest, ".  ", ". "), stated
}

// sum is what limits come to together.
type sum struct {
	what    string
	formula string // of limits: fields of Config, and constants by package
}

// sums are the worst cases of who can bring them about.
var sums = []struct {
	who  string
	sums []sum
}{
	{"strangers, all together", []sum{
		{"connections", "MaxPendingHandshakes"},
		{"goroutines", "2 * MaxPendingHandshakes"},
		{"bytes of handshakes", "MaxPendingHandshakes * 2 * noise.smallRead"},
		{"handshakes computed in a second", "MaxHandshakesPerSecond"},
		{"places and keys remembered", "4*p2p.maxArrivals + 2*p2p.maxRefusals"},
		{"bytes on disk", "0"},
	}},
	{"strangers at one familiar place, besides", []sum{
		{"connections", "ReservedHandshakes"},
	}},
	{"one peer", []sum{
		{"connections, of both directions", "2 * MaxConnectionsPerPeer"},
		{"streams that it opens", "2 * MaxConnectionsPerPeer * MaxStreamsPerConnection"},
		{"goroutines", "2 * MaxConnectionsPerPeer * (4 + 3*MaxStreamsPerConnection)"},
		{"bytes sent and not read yet", "MaxWindowMemoryPerPeer"},
		{"bytes read ahead: a buffer of each stream", "2 * MaxConnectionsPerPeer * MaxStreamsPerConnection * p2p.readBuffer"},
		{"bytes of payloads in hand: read and not taken yet, or on their way to the disk", "p2p.maxInHandPerPeer * (p2p.piece + journal.pieceSize) + 2 * MaxConnectionsPerPeer * wire.MaxHello"},
		{"bytes to know what has ended, so that nothing is taken twice", "wire.MaxOpen / 2 * 16"},
		{"files, with its connections", "2 * MaxConnectionsPerPeer * (1 + MaxStreamsPerConnection)"},
		{"bytes on disk: its requests, and its replies to ours", "2 * MaxStoredPerPeer"},
	}},
	{"all peers", []sum{
		{"connections that they have dialled", "MaxConnections"},
		{"goroutines for those", "MaxConnections * (4 + 3*MaxStreamsPerConnection)"},
		{"bytes sent and not read yet", "MaxWindowMemory"},
		{"bytes read ahead", "MaxConnections * MaxStreamsPerConnection * p2p.readBuffer"},
		{"bytes of payloads in hand", "(p2p.maxInHand + MaxConnections) * (p2p.piece + journal.pieceSize) + MaxConnections * wire.MaxHello"},
		{"requests stored and not ended", "MaxOpen"},
		{"bytes on disk: requests, and replies to ours", "2 * MaxStored"},
		{"bytes of payloads kept in memory", "PayloadMemory"},
		{"bytes of payloads that arrive in memory", "PayloadMemory"},
		{"ended exchanges remembered", "History"},
		{"peers remembered for a violation", "fsm.maxBlamed"},
	}},
	{"the application", []sum{
		{"exchanges that it made, not ended or not committed", "MaxQueued"},
		{"bytes of their requests on disk", "MaxStored"},
		{"ended exchanges remembered", "History"},
		{"connections that it has this node dial", "MaxConnectionsPerPeer * allowlist.MaxMembers"},
		{"dials under way", "p2p.maxDials"},
		{"calls that wait in the mediator", "mediator.CallRoom"},
		{"events in its channels", "mediator.DeliveryRoom + mediator.AlertRoom"},
	}},
	{"peers, where a program answers them", []sum{
		{"processes, of each program, and what they start", "programs.defaultConcurrency"},
		{"bytes of their requests and replies in memory", "programs.defaultConcurrency * 2 * MaxMessageSize"},
		{"processes, of all programs, as far as it can be set", "programs.maxRunning"},
		{"requests that wait for their turn or for another attempt", "MaxOpen"},
		{"dead letters", "programs.maxDead"},
	}},
	{"the journal itself", []sum{
		{"bytes of lanes, keys and reasons in records", "(MaxOpen + MaxQueued + 2*History) * (wire.MaxLane + parley.maxKey + wire.MaxText)"},
		{"bytes of memory tables, and as many of logs on disk", "(journal.maxMemTables + 1) * journal.memTableSize"},
		{"tables kept open", "journal.openTables"},
		{"goroutines that unlink", "journal.maxRemovals"},
		{"bytes of the log of changes to the allow list", "2 * audit.MaxFile"},
		{"bytes of the disk that stay free", "journal.defaultMinFree"},
	}},
}

func (l *limits) writeSums(t *testing.T, b *strings.Builder) {
	b.WriteString("| who can bring about | what | at most | which is |\n|---|---|---|---|\n")
	for _, s := range sums {
		who := "**" + s.who + "**"
		for _, each := range s.sums {
			expression, err := parser.ParseExpr(each.formula)
			if err != nil {
				t.Fatal(err)
			}
			q, err := l.reader.evaluateWith(source{syntax: new(ast.File)}, expression, l.of)
			if err != nil {
				t.Errorf("%s: %s: %v", s.who, each.what, err)
			}
			if strings.HasPrefix(each.what, "bytes") {
				q.unit = octets
			}
			formula := "`" + each.formula + "`"
			if each.formula == "0" {
				formula = "nothing is kept of them"
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", who, each.what, q.about(), formula)
			who = ""
		}
	}
	b.WriteByte('\n')
}

// firstDifference shows where two texts part.
func firstDifference(have, want string) string {
	haveLines, wantLines := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i, line := range wantLines {
		if i >= len(haveLines) || haveLines[i] != line {
			return fmt.Sprintf("line %d should be: %s", i+1, line)
		}
	}
	return fmt.Sprintf("line %d and what follows are too much", len(wantLines))
}
