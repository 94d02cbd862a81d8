package allowlist

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something stands in a file, counted from 1.
type place struct{ line, column int }

// places says where the peers of a file stand, so that an error can name the
// line that has to be mended. What can be in it is bounded by maxFile.
type places []peerPlace

type peerPlace struct {
	header place
	fields map[string]place   // of the values, by key, such as "name" and "limits.open"; within maxFile
	items  map[string][]place // of the items of an array, by its key; within maxFile
}

// locate finds the peers, each under its [[peer]], in a file that the TOML
// decoder has accepted. The limits of a peer may stand under [peer.limits], in
// braces or behind dotted keys: their fields have one name all the same.
func locate(content []byte) places {
	var found places
	var parser unstable.Parser
	parser.Reset(content)
	at := func(node *unstable.Node) place {
		start := parser.Shape(node.Raw).Start
		return place{start.Line, start.Column}
	}
	table := "" // that the expression stands in
	for parser.NextExpression() {
		expression := parser.Expression()
		switch expression.Kind {
		case unstable.ArrayTable:
			if table = dotted(expression.Key()); table == "peer" {
				found = append(found, peerPlace{header: at(expression.Child()), fields: map[string]place{}, items: map[string][]place{}})
			}
		case unstable.Table:
			table = dotted(expression.Key())
		case unstable.KeyValue:
			if within, ok := strings.CutPrefix(table+".", "peer."); ok && len(found) > 0 {
				found[len(found)-1].enter(within, expression, at)
			}
		}
	}
	return found
}

// enter notes where the value of a key stands, and what is inside. The prefix is
// that of the tables around it, each with a dot behind it.
func (p *peerPlace) enter(prefix string, pair *unstable.Node, at func(*unstable.Node) place) {
	key, value := prefix+dotted(pair.Key()), pair.Value()
	p.fields[key] = at(value)
	for inside := value.Children(); inside.Next(); {
		switch value.Kind {
		case unstable.Array:
			p.items[key] = append(p.items[key], at(inside.Node()))
		case unstable.InlineTable:
			p.enter(key+".", inside.Node(), at)
		}
	}
}

// dotted writes a key as one string.
func dotted(key unstable.Iterator) string {
	var parts []string
	for key.Next() {
		parts = append(parts, string(key.Node().Data))
	}
	return strings.Join(parts, ".")
}

// wrong puts a place to an error about a member.
func (p places) wrong(err error) error {
	var field *FieldError
	if !errors.As(err, &field) {
		return &FileError{Err: err}
	}
	peer := p[field.Member]
	where, known := peer.fields[field.Field]
	if !known {
		where = peer.header
	}
	if items := peer.items[field.Field]; field.Item < len(items) {
		where = items[field.Item]
	}
	err = fmt.Errorf("%s: %w", field.Field, field.Err)
	if errors.Is(err, ErrDuplicate) {
		err = fmt.Errorf("%w, in the peer of line %d", err, p[field.Earlier].header.line)
	}
	return &FileError{Line: where.line, Column: where.column, Err: err}
}
