package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/settings"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Look at the node's key, bring one in, take one along",
		Long: `Look at the node's key, bring one in, or take one along. The key is the node: whoever
has it is this node to its peers, and two nodes with one key fence each other.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyNew(), newKeyShow(), newKeyImport(), newKeyExport())
	return cmd
}

// keyFile is a key where it lies. The secret itself is told by key export --hex alone.
type keyFile struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	File   string `json:"file"`
	Secret string `json:"secret,omitempty"` // in hexadecimal digits
}

func (n node) keyFile() (*keyFile, error) {
	key, err := n.key()
	if err != nil {
		return nil, err
	}
	return describe(key, n.path(settings.Key)), nil
}

func describe(key identity.Key, path string) *keyFile {
	return &keyFile{ID: key.PeerID().String(), Kind: strings.ToLower(key.Public().Type().String()), File: path}
}

// save saves a key in a new file.
func save(key identity.Key, path string) (*keyFile, error) {
	err := key.Save(path)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: a key is never overwritten, since one that is gone is gone for ever: name another file", err)
	}
	if err != nil {
		return nil, err
	}
	return describe(key, path), nil
}

func newKeyNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "new FILE",
		Short:   "Make another key, in a new file",
		Long:    "Make a key that no node has yet, in a new file that only its owner can read, and\nprint its ID. The node's own key is made by parley init.",
		Example: "  parley key new operator.key --kind secp256k1",
		Args:    oneArgument("FILE"),

		ValidArgsFunction: completeFirst(files),
	}
	name := cmd.Flags().String("kind", "ed25519", "ed25519 or secp256k1")
	completeFlag(cmd, "kind", cobra.FixedCompletions([]cobra.Completion{"ed25519", "secp256k1"}, cobra.ShellCompDirectiveNoFileComp))
	return answers(cmd, func(_ *cobra.Command, args []string) (*keyFile, error) {
		kind, err := identity.ParseKind(*name)
		if err != nil {
			return nil, usageError{err}
		}
		key, err := identity.Generate(kind)
		if err != nil {
			return nil, err
		}
		return save(key, args[0])
	}, printID)
}

func newKeyShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Say which key the node has; nothing of it that is secret",
		Args:  noArguments,
	}
	return answers(cmd, func(cmd *cobra.Command, _ []string) (*keyFile, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		return n.keyFile()
	}, func(out io.Writer, k *keyFile) error {
		return table(out, "", "KEY "+k.File, [][]string{{"ID", k.ID}, {"kind", k.Kind}})
	})
}

func newKeyImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make the key in a file the node's",
		Long: `Make the key in a file the node's, before its first start: the protobuf of a libp2p
key, as parley and other libp2p programs keep it, or the same in hexadecimal digits, as
BitVMX configurations have it. A key that the node has already is never overwritten.
The file stays: delete it, or see that nobody else reads it.`,
		Example: "  parley key import --dir alice bitvmx.hex && parley init --dir alice",
		Args:    oneArgument("FILE"),

		ValidArgsFunction: completeFirst(files),
	}
	return answers(cmd, func(cmd *cobra.Command, args []string) (*keyFile, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		key, err := readKey(args[0])
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return nil, err
		}
		k, err := save(key, n.path(settings.Key))
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("the node in %s has a key already, which is never overwritten: import into another directory (--dir)", n.dir)
		}
		return k, err
	}, printID)
}

// readKey reads a key file, or one with hexadecimal digits.
func readKey(path string) (identity.Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return identity.Key{}, err
	}
	if !isHex(string(text)) {
		return identity.Load(path)
	}
	key, err := identity.ParseHex(string(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return key, err
}

func isHex(text string) bool {
	text = strings.TrimSpace(text)
	text = strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	return text != "" && strings.Trim(text, "0123456789abcdefABCDEF \t\r\n") == ""
}
