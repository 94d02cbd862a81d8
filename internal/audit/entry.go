package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// What became of a member.
type What string

// The three things that can.
const (
	Added   What = "added"
	Removed What = "removed"
	Changed What = "changed"
)

// Entry is one line of the log: what became of one member.
type Entry struct {
	Number uint64    // from 1; one more than that of the line before
	Time   time.Time // UTC
	By     string    // as in allowlist.Change, or WhileNotRunning
	What   What
	Member allowlist.Member  // as it is; of who was removed, as it was
	Was    *allowlist.Member // of who was changed, as it was
}

// after is the member after the change; nil: there is none.
func (e Entry) after() *allowlist.Member {
	if e.What == Removed {
		return nil
	}
	return &e.Member
}

// maxNumber bounds the number of an entry: beyond it some who read JSON lose the
// last digits. A line with a larger one is ErrDamaged.
const maxNumber = 1 << 53

// line is an entry as it is written.
type line struct {
	Number uint64    `json:"n"`
	Time   time.Time `json:"time"`
	By     string    `json:"by"`
	What   What      `json:"what"`
	member
	Was *details `json:"was,omitempty"`
}

// member is a line of allowlist.known, and a part of one of the log.
type member struct {
	Peer identity.ID `json:"peer"`
	details
}

type details struct {
	Name      string           `json:"name,omitempty"`
	Addresses []string         `json:"addresses,omitempty"`
	From      []netip.Prefix   `json:"from,omitempty"`
	Limits    allowlist.Limits `json:"limits,omitzero"`
}

func detailsOf(m allowlist.Member) details {
	return details{m.Name, m.Addresses, m.From, m.Limits}
}

func (d details) of(id identity.ID) allowlist.Member {
	return allowlist.Member{ID: id, Name: d.Name, Addresses: d.Addresses, From: d.From, Limits: d.Limits}
}

func (e Entry) encode() ([]byte, error) {
	l := line{e.Number, e.Time, e.By, e.What, member{e.Member.ID, detailsOf(e.Member)}, nil}
	if e.Was != nil {
		was := detailsOf(*e.Was)
		l.Was = &was
	}
	return encodeLine(l)
}

// encodeLine writes one line with its end, and characters such as & as they are.
func encodeLine(v any) ([]byte, error) {
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return content.Bytes(), err
}

// decode reads a line of the log. Its errors match ErrDamaged.
func decode(content []byte) (Entry, error) {
	var l line
	if err := json.Unmarshal(content, &l); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	e := Entry{Number: l.Number, Time: l.Time, By: l.By, What: l.What, Member: l.of(l.Peer)}
	if l.Was != nil {
		was := l.Was.of(l.Peer)
		e.Was = &was
	}
	switch {
	case e.Number == 0 || e.Number > maxNumber:
		return Entry{}, fmt.Errorf("%w: its number is %d", ErrDamaged, e.Number)
	case e.Member.ID.IsZero():
		return Entry{}, fmt.Errorf("%w: it names no peer", ErrDamaged)
	case e.What != Added && e.What != Removed && e.What != Changed:
		return Entry{}, fmt.Errorf("%w: %q is nothing that can become of a member", ErrDamaged, e.What)
	}
	return e, nil
}
