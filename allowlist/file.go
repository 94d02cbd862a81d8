package allowlist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/durable"
)

// maxFile bounds the file of a list, in bytes: it has room for MaxMembers with all
// that they may have. A larger one is refused with a *[FileError].
const maxFile = 64 << 20

// document is the file as TOML has it.
type document struct {
	Peer []entry `toml:"peer"`
}

type entry struct {
	ID        string   `toml:"id"`
	Name      string   `toml:"name,omitempty"`
	Addresses []string `toml:"addresses,omitempty"`
	From      []string `toml:"from,omitempty"`
	Limits    Limits   `toml:"limits,omitempty"`
}

// Load reads a list from a file in the form that the package comment shows. An
// error is a *[FileError] with the place; it matches [io/fs.ErrNotExist] where
// there is no such file. An empty file is a list that admits nobody.
func Load(path string) (*List, error) {
	l, _, err := load(path)
	return l, err
}

func load(path string) (*List, []byte, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, nil, &FileError{Path: path, Err: durable.Reason(err)}
	}
	l, err := decode(content)
	return l, content, atPath(path, err)
}

// atPath says in an error of decode which file it is about.
func atPath(path string, err error) error {
	if wrong := (*FileError)(nil); errors.As(err, &wrong) {
		wrong.Path = path
	}
	return err
}

// readFile reads no more of a file than shows that it is too large.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// decode reads the content of a file. Its errors are *[FileError] without a path.
func decode(content []byte) (*List, error) {
	if len(content) > maxFile {
		return nil, &FileError{Err: fmt.Errorf("the file is larger than %d bytes", maxFile)}
	}
	var doc document
	decoder := toml.NewDecoder(bytes.NewReader(content)).DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		return nil, tomlError(err)
	}
	at := locate(content)
	if len(at) != len(doc.Peer) { // TOML has other ways to say the same
		return nil, &FileError{Err: errors.New("put every peer under a line [[peer]] of its own")}
	}
	members := make([]Member, len(doc.Peer))
	for i, peer := range doc.Peer {
		var id identity.ID
		if err := id.UnmarshalText([]byte(peer.ID)); err != nil {
			return nil, at.wrong(&FieldError{Member: i, Field: "id", Err: err})
		}
		var pins []netip.Prefix
		for item, text := range peer.From {
			pin, err := ParsePin(text)
			if err != nil {
				return nil, at.wrong(&FieldError{Member: i, Field: "from", Item: item, Err: err})
			}
			pins = append(pins, pin)
		}
		members[i] = Member{ID: id, Name: peer.Name, Addresses: peer.Addresses, From: pins, Limits: peer.Limits}
	}
	list, err := New(members...)
	if err != nil {
		return nil, at.wrong(err)
	}
	return list, nil
}

// tomlError gives an error of the TOML decoder its place.
func tomlError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		first := &unknown.Errors[0] // there is one at least
		line, column := first.Position()
		return &FileError{Line: line, Column: column, Err: fmt.Errorf("unknown key %q: the file is made of [[peer]] with id, name, addresses and from, and of [peer.limits] with %s",
			strings.Join(first.Key(), "."), limitKeys)}
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, column := wrong.Position()
		return &FileError{Line: line, Column: column, Err: wrong}
	}
	return &FileError{Err: err}
}

// Save writes the list to a file that [Load] reads. A file of that name is
// replaced, with all comments in it; at no time is half a file there. When Save
// returns without an error the file is on disk. A machine that stops in the
// middle may leave a file path.*.new, which can be deleted. Who may read it stays as
// it was; a new one is its owner's. Where the list
// follows the file, Save is how changes of the program's own become lasting. An
// error is a *[FileError]; for a list made by [Everyone] it matches [ErrEveryone].
func (l *List) Save(path string) error {
	var err error
	switch {
	case l.everyone:
		err = ErrEveryone
	case l.follower != nil && l.follower.is(path):
		err = l.follower.save()
	default:
		_, err = l.save(path)
	}
	if err != nil {
		return &FileError{Path: path, Err: durable.Reason(err)}
	}
	return nil
}

func (l *List) save(path string) (content []byte, err error) {
	if content, err = encode(l.current.Load()); err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o600)
	if before, err := os.Stat(path); err == nil {
		mode = before.Mode().Perm()
	}
	return content, durable.Replace(path, content, mode)
}

func encode(t *table) ([]byte, error) {
	var doc document
	for _, m := range t.sorted {
		e := entry{ID: m.ID.String(), Name: m.Name, Addresses: m.Addresses, Limits: m.Limits}
		for _, pin := range m.From {
			e.From = append(e.From, pinText(pin))
		}
		doc.Peer = append(doc.Peer, e)
	}
	content := bytes.NewBufferString("# The peers that may connect to this node.\n\n")
	if len(doc.Peer) == 0 {
		return content.Bytes(), nil
	}
	err := toml.NewEncoder(content).Encode(doc)
	return content.Bytes(), err
}
