package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Dump lists what Walk gives, for a person to read, each record as decode puts it.
func Dump(dir string, o Options, w io.Writer, decode func(key, value []byte) string) error {
	out := bufio.NewWriter(w)
	d := dump{out: out, decode: decode}
	err := Walk(dir, o, d.add)
	d.end()
	return errors.Join(err, out.Flush())
}

// dump is a list as it grows.
type dump struct {
	out    *bufio.Writer
	decode func(key, value []byte) string
	part   EntryKind // records or payloads, which have a head and are counted
	count  int
}

func (d *dump) add(e Entry) error {
	if d.part != e.Kind && (e.Kind == OneRecord || e.Kind == OnePayload) {
		d.end()
		d.part, d.count = e.Kind, 0
		fmt.Fprintf(d.out, "\n%ss\n", e.Kind)
	}
	d.count++
	switch e.Kind {
	case WholeJournal:
		fmt.Fprintf(d.out, "journal %s\n", e.File)
	case Owner:
		fmt.Fprintf(d.out, "owner %s\n", e.Owner)
	case Numbers:
		fmt.Fprintf(d.out, "payload numbers below %d may have been given\n", e.Number)
	case OneRecord:
		fmt.Fprintf(d.out, "  %s\n", d.decode(e.Key, e.Value))
	case OnePayload:
		in := ""
		if e.File != "" {
			in = ", in " + e.File
		}
		fmt.Fprintf(d.out, "  %d: %d bytes%s\n", e.Number, e.Size, in)
	case Damage:
		d.count--
		fmt.Fprintf(d.out, "  DAMAGED: %v\n", e.Damage)
	}
	return nil
}

// end closes a part of the list.
func (d *dump) end() {
	if d.part != "" {
		fmt.Fprintf(d.out, "  %d in all\n", d.count)
	}
}
