package allowlist

import (
	"errors"
	"fmt"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something stands in a file, counted from 1.
type place struct{ line, column int }

// places says where the peers of a file stand, so that an error can name the
// line that has to be mended.
type places []peerPlace

type peerPlace struct {
	header    place
	fields    map[string]place // of the values, by key
	addresses []place
}

// locate finds the peers, each under its [[peer]], in a file that the TOML
// decoder has accepted.
func locate(content []byte) places {
	var found places
	var parser unstable.Parser
	parser.Reset(content)
	inPeer := false
	at := func(node *unstable.Node) place {
		start := parser.Shape(node.Raw).Start
		return place{start.Line, start.Column}
	}
	for parser.NextExpression() {
		expression := parser.Expression()
		switch expression.Kind {
		case unstable.ArrayTable:
			key := expression.Child()
			if inPeer = string(key.Data) == "peer"; inPeer {
				found = append(found, peerPlace{header: at(key), fields: map[string]place{}})
			}
		case unstable.Table:
			inPeer = false
		case unstable.KeyValue:
			if !inPeer {
				continue
			}
			peer, value, key := &found[len(found)-1], expression.Value(), expression.Key()
			key.Next()
			peer.fields[string(key.Node().Data)] = at(value)
			for items := value.Children(); value.Kind == unstable.Array && items.Next(); {
				peer.addresses = append(peer.addresses, at(items.Node()))
			}
		}
	}
	return found
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
	if field.Field == "addresses" && field.Item < len(peer.addresses) {
		where = peer.addresses[field.Item]
	}
	err = fmt.Errorf("%s: %w", field.Field, field.Err)
	if errors.Is(err, ErrDuplicate) {
		err = fmt.Errorf("%w, in the peer of line %d", err, p[field.Earlier].header.line)
	}
	return &FileError{Line: where.line, Column: where.column, Err: err}
}
