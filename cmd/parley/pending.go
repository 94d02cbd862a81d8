package main

import (
	"fmt"
	"strings"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// oneOf is the ID of the one that waits to be accepted and whose ID begins so.
func oneOf(pending []*v1.Pending, prefix string) (string, error) {
	var found []string
	for _, p := range pending {
		if strings.HasPrefix(p.Id, prefix) {
			found = append(found, p.Id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("no peer that was refused has an ID that begins with %q: see parley peers pending", prefix)
	default:
		return "", fmt.Errorf("%d peers that were refused have IDs that begin with %q: write more of it", len(found), prefix)
	}
}
