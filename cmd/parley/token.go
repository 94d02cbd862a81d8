package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/parley-p2p/parley/internal/control"
	"github.com/parley-p2p/parley/internal/durable"
)

// tokens reads the secrets of the API's roles, and makes those that aren't there.
func (n node) tokens() ([]control.Token, error) {
	var all []control.Token
	for _, one := range []struct {
		file string
		role control.Role
	}{{"admin.token", control.Admin}, {"readonly.token", control.ReadOnly}} {
		path := n.path(one.file)
		err := durable.WriteNew(path, []byte(rand.Text()+"\n"), 0o600)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		secret, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text := strings.TrimSpace(string(secret))
		if len(text) < 20 {
			return nil, fmt.Errorf("%s: a token has 20 characters at least: delete the file, and the next start makes a good one", path)
		}
		all = append(all, control.Token{Secret: text, Role: one.role})
	}
	return all, nil
}
