package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	protocolPage = "../../docs/protocol.md"
	dumpBegins   = "<!-- exchange: go test ./internal/wire -rewrite -->\n"
	dumpEnds     = "<!-- end of exchange -->\n"
)

func TestPageShowsTheExchangeAsItIs(t *testing.T) {
	page, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), dumpBegins)
	_, after, closed := strings.Cut(rest, dumpEnds)
	if !found || !closed {
		t.Fatal("protocol.md lacks the marks of the exchange")
	}
	want := before + dumpBegins + dumpExchange(t) + dumpEnds + after
	if *rewrite {
		if err := os.WriteFile(protocolPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Error("the exchange in protocol.md is not what the codec makes: -rewrite writes it anew")
	}
}

func dumpExchange(t *testing.T) string {
	var b strings.Builder
	b.WriteString("```\n")
	for i, m := range exchangeVectors() {
		encoded, err := m.frame.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", m.name)
		dumpFrame(&b, encoded)
		if m.payload != "" {
			dumpLine(&b, []byte(m.payload), fmt.Sprintf("payload %q", m.payload))
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// dumpFrame writes a line for each field, from the bytes alone.
func dumpFrame(b *strings.Builder, encoded []byte) {
	length, n := protowire.ConsumeVarint(encoded)
	dumpLine(b, encoded[:n], fmt.Sprintf("header of %d bytes", length))
	for header := encoded[n:]; len(header) > 0; {
		number, typ, tag := protowire.ConsumeTag(header)
		size := protowire.ConsumeFieldValue(number, typ, header[tag:])
		dumpLine(b, header[:tag+size], fieldNames[number]+" "+describe(number, header[tag:tag+size]))
		header = header[tag+size:]
	}
}

func describe(n field, value []byte) string {
	if wireType(n) == protowire.BytesType {
		v, _ := protowire.ConsumeBytes(value)
		if n == laneField {
			return fmt.Sprintf("%q", v)
		}
		return ""
	}
	v, _ := protowire.ConsumeVarint(value)
	switch n {
	case kindField:
		return Kind(v).String()
	case ofField:
		return Of(v).String()
	}
	return fmt.Sprint(v)
}

// dumpLine writes bytes, 18 to a line, and what they mean beside the first.
func dumpLine(b *strings.Builder, bs []byte, meaning string) {
	const width = 18
	for len(bs) > 0 {
		n := min(width, len(bs))
		pairs := make([]string, n)
		for i, c := range bs[:n] {
			pairs[i] = hex.EncodeToString([]byte{c})
		}
		fmt.Fprintf(b, "%s\n", bytes.TrimRight(fmt.Appendf(nil, "  %-*s  %s", 3*width, strings.Join(pairs, " "), meaning), " "))
		bs, meaning = bs[n:], ""
	}
}
