package allowlist

import (
	"fmt"
	"strings"

	"github.com/parley-p2p/parley/identity"
)

func (t *table) find(text string) (Member, error) {
	if id, named := t.byName[text]; named {
		return t.byID[id].clone(), nil
	}
	if id, err := identity.ParseID(text); err == nil {
		if m, listed := t.byID[id]; listed {
			return m.clone(), nil
		}
		return Member{}, fmt.Errorf("peer %v: %w", id, ErrUnknown)
	}
	var found []Member
	for _, m := range t.sorted {
		if text != "" && strings.HasPrefix(m.ID.String(), text) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return Member{}, fmt.Errorf("peer %q: %w", text, ErrUnknown)
	case 1:
		return found[0].clone(), nil
	}
	return Member{}, fmt.Errorf("peer %q %w: it may be %v or %v", text, ErrAmbiguous, found[0], found[1])
}
