package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/control"
	"github.com/parley-p2p/parley/internal/settings"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// node is the node that a command is about: what lies in its directory.
type node struct{ dir string }

// nodeOf is the node that the flags, or the environment, name.
func nodeOf(cmd *cobra.Command) (node, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err != nil {
		return node{}, err
	}
	if dir == "" {
		dir = os.Getenv("PARLEY_DIR")
	}
	if dir == "" {
		home, err := os.UserConfigDir()
		if err != nil {
			return node{}, fmt.Errorf("%w: name the node's directory with --dir or PARLEY_DIR", err)
		}
		dir = filepath.Join(home, "parley")
	}
	dir, err = filepath.Abs(dir)
	return node{dir}, err
}

func (n node) path(name string) string { return filepath.Join(n.dir, name) }

// settings reads the node's settings, with what the command line sets.
func (n node) settings(cmd *cobra.Command) (settings.Settings, []settings.Setting, error) {
	set := map[string]string{}
	if cmd.Flags().Lookup("set") != nil {
		given, err := cmd.Flags().GetStringArray("set")
		if err != nil {
			return settings.Settings{}, nil, err
		}
		for _, one := range given {
			name, value, found := strings.Cut(one, "=")
			if !found {
				return settings.Settings{}, nil, usageError{fmt.Errorf("--set %s: write it as NAME=VALUE", one)}
			}
			set[name] = value
		}
	}
	s, all, err := settings.Read(n.path(settings.File), os.Environ(), set)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil, fmt.Errorf("there is no node in %s: make one with `parley init`, or name another directory with --dir", n.dir)
	}
	return s, all, err
}

func (n node) key() (identity.Key, error) { return identity.Load(n.path(settings.Key)) }

// socket is where the node's programs reach it.
func (n node) socket(s settings.Settings) string {
	if strings.Contains(s.API.Socket, "/") {
		return s.API.Socket
	}
	return n.path(s.API.Socket)
}

// api is what a running node can be asked: see proto/parley/v1.
type api = parleyv1connect.NodeClient

// client is for asking the node while it runs.
func client(cmd *cobra.Command) (api, error) {
	n, err := nodeOf(cmd)
	if err != nil {
		return nil, err
	}
	s, _, err := n.settings(cmd)
	if err != nil {
		return nil, err
	}
	return control.Dial(n.socket(s)), nil
}

// said is an error of a call as a person reads it: without the code's name.
func said(err error) error {
	var answer *connect.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return errors.New("the node that runs is of another release, which knows no such call: parley status says which; restart it with this one")
	case errors.As(err, &answer):
		return errors.New(strings.TrimPrefix(answer.Message(), "messages[0].")) // a command makes one
	default:
		return err
	}
}
