package allowlist

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/parley-p2p/parley/identity"
)

const (
	// MaxMembers bounds the members of a list. A change beyond it is refused with
	// [ErrTooMany].
	MaxMembers = 10_000
	// MaxAddresses bounds the addresses of one member. One with more is refused
	// with a *[FieldError].
	MaxAddresses = 16
	// MaxPins bounds Member.From. A member with more is refused with a
	// *[FieldError].
	MaxPins = 16
	// MaxName bounds the name of a member, in bytes. A longer one is refused with a
	// *[FieldError].
	MaxName = 64
)

// Member is a peer that may connect.
type Member struct {
	// ID is the peer's ID. Required.
	ID identity.ID
	// Name is what people call the peer, unique within the list; empty: no name.
	// At most MaxName bytes of printable UTF-8, no space at either end.
	Name string
	// Addresses say where to dial the peer: see [ParseAddress]. In a list they
	// are multiaddrs without a trailing /p2p part. Empty: the peer dials us.
	Addresses []string
	// From pins the peer to places: it is let in from these IP addresses alone, and
	// dialled nowhere else. A single address is a prefix of full length. Empty: it
	// may be anywhere. In a list they have the form of [ParsePin]. At most MaxPins.
	From []netip.Prefix
	// Limits are the peer's own; zero fields mean the node's defaults.
	Limits Limits
}

// String is the member's name, or its ID where it has none.
func (m Member) String() string {
	if m.Name == "" {
		return m.ID.String()
	}
	return m.Name
}

func (m Member) clone() Member {
	m.Addresses = slices.Clone(m.Addresses)
	m.From = slices.Clone(m.From)
	return m
}

func (m Member) equal(other Member) bool {
	return m.ID == other.ID && m.Name == other.Name && m.Limits == other.Limits &&
		slices.Equal(m.Addresses, other.Addresses) && slices.Equal(m.From, other.From)
}

// checked returns the member with its addresses and pins converted, or a [FieldError]
// about the member of that index.
func (m Member) checked(index int) (Member, error) {
	if m.ID.IsZero() {
		return Member{}, &FieldError{Member: index, Field: "id", Err: errors.New("a member needs its peer ID, such as 12D3KooW…")}
	}
	if err := checkName(m.Name); err != nil {
		return Member{}, &FieldError{Member: index, Field: "name", Err: err}
	}
	if len(m.Addresses) > MaxAddresses {
		return Member{}, &FieldError{Member: index, Field: "addresses", Err: fmt.Errorf("%d are too many, at most %d", len(m.Addresses), MaxAddresses)}
	}
	var addresses []string
	for i, text := range m.Addresses {
		address, err := ParseAddressOf(m.ID, text)
		if err != nil {
			return Member{}, &FieldError{Member: index, Field: "addresses", Item: i, Err: err}
		}
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	m.Addresses = addresses
	if len(m.From) > MaxPins {
		return Member{}, &FieldError{Member: index, Field: "from", Err: fmt.Errorf("%d are too many, at most %d", len(m.From), MaxPins)}
	}
	var pins []netip.Prefix
	for i, pin := range m.From {
		pin, err := checkPin(pin)
		if err != nil {
			return Member{}, &FieldError{Member: index, Field: "from", Item: i, Err: err}
		}
		if !slices.Contains(pins, pin) {
			pins = append(pins, pin)
		}
	}
	m.From = pins
	if field, err := m.Limits.check(); err != nil {
		return Member{}, &FieldError{Member: index, Field: field, Err: err}
	}
	return m, nil
}

// checkName refuses what would confuse a reader, or a terminal.
func checkName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("a name of %d bytes is too long, at most %d", len(name), MaxName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("name %q is not UTF-8", name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("name %q has characters that can't be printed", name)
		}
	}
	if name != "" && (name[0] == ' ' || name[len(name)-1] == ' ') {
		return fmt.Errorf("name %q begins or ends with a space", name)
	}
	if _, err := identity.ParseID(name); err == nil {
		return fmt.Errorf("name %q is a peer ID", name)
	}
	return nil
}
