package allowlist

import (
	"errors"
	"fmt"
	"strings"
)

// To be matched with [errors.Is].
var (
	// ErrDuplicate is an ID or a name that another member has.
	ErrDuplicate = errors.New("already on the allow list")
	// ErrTooMany is a list beyond MaxMembers.
	ErrTooMany = fmt.Errorf("an allow list holds at most %d members", MaxMembers)
	// ErrUnknown is a name or ID that no member has.
	ErrUnknown = errors.New("not on the allow list")
	// ErrAmbiguous is the beginning of several members' IDs.
	ErrAmbiguous = errors.New("fits several members of the allow list, write more of it")
	// ErrAddress is an address that can't be dialled.
	ErrAddress = errors.New("write an address as /ip4/10.0.0.7/tcp/4001, /dns/alice.example.org/tcp/4001 or alice.example.org:4001")
	// ErrPin is a place that a peer can't be pinned to.
	ErrPin = errors.New("write a pin as 10.0.0.7, 10.0.0.0/24, 2001:db8::7 or 2001:db8::/48")
	// ErrEveryone is a list that admits everyone where a list of members is needed.
	ErrEveryone = errors.New("a list that admits everyone can't be written to a file")
)

// FieldError says which field of which member is wrong, and why.
type FieldError struct {
	Member int    // its index, in the order given
	Field  string // "id", "name", "addresses", "from", or a limit such as "limits.open"
	Item   int    // index in addresses or from
	// Earlier is the index of the member that has the same ID or name, when Err
	// matches ErrDuplicate.
	Earlier int
	Err     error
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("member %d: %s", e.Member+1, e.detail())
}

func (e *FieldError) detail() string {
	switch e.Field {
	case "addresses":
		return fmt.Sprintf("address %d: %v", e.Item+1, e.Err)
	case "from":
		return fmt.Sprintf("pin %d: %v", e.Item+1, e.Err)
	}
	return e.Field + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

// FileError says what is wrong with an allow list's file, and where.
type FileError struct {
	Path   string
	Line   int // from 1; 0: the file as a whole
	Column int // from 1; 0: the line as a whole
	Err    error
}

func (e *FileError) Error() string {
	var place strings.Builder
	place.WriteString("allow list " + e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&place, ":%d", e.Line)
	}
	if e.Column > 0 {
		fmt.Fprintf(&place, ":%d", e.Column)
	}
	return place.String() + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }
