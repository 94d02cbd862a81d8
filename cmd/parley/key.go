package main

import (
	"errors"
	"fmt"
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

func newKeyNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "new FILE",
		Short:   "Make another key, in a new file",
		Long:    "Make a key that no node has yet, in a new file that only its owner can read, and\nprint its ID. The node's own key is made by parley init.",
		Example: "  parley key new operator.key --kind secp256k1",
		Args:    oneArgument("FILE"),
	}
	name := cmd.Flags().String("kind", "ed25519", "ed25519 or secp256k1")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, err := identity.ParseKind(*name)
		if err != nil {
			return usageError{err}
		}
		key, err := identity.Generate(kind)
		if err != nil {
			return err
		}
		return save(cmd, key, args[0])
	}
	return cmd
}

// save saves a key in a new file and prints its ID.
func save(cmd *cobra.Command, key identity.Key, path string) error {
	err := key.Save(path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: a key is never overwritten, since one that is gone is gone for ever: name another file", err)
	}
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), key.PeerID())
	}
	return err
}

func newKeyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Say which key the node has; nothing of it that is secret",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			key, err := n.key()
			if err != nil {
				return err
			}
			return table(cmd.OutOrStdout(), "", "KEY "+n.path(settings.Key), [][]string{
				{"ID", key.PeerID().String()}, {"kind", strings.ToLower(key.Public().Type().String())},
			})
		},
	}
}

func newKeyImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Make the key in a file the node's",
		Long: `Make the key in a file the node's, before its first start: the protobuf of a libp2p
key, as parley and other libp2p programs keep it, or the same in hexadecimal digits, as
BitVMX configurations have it. A key that the node has already is never overwritten.
The file stays: delete it, or see that nobody else reads it.`,
		Example: "  parley key import --dir alice bitvmx.hex && parley init --dir alice",
		Args:    oneArgument("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nodeOf(cmd)
			if err != nil {
				return err
			}
			key, err := readKey(args[0])
			if err != nil {
				return err
			}
			if err := os.MkdirAll(n.dir, 0o700); err != nil {
				return err
			}
			err = save(cmd, key, n.path(settings.Key))
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("the node in %s has a key already, which is never overwritten: import into another directory (--dir)", n.dir)
			}
			return err
		},
	}
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

func newKeyExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Copy the node's key, the secret itself",
		Long: `Copy the node's key into a new file that only its owner can read, or with --hex print
it. Whoever has it is this node to its peers: stop this node before another one uses
it, and move its journal with it.`,
		Example: "  parley key export backup.key",
		Args:    cobra.MaximumNArgs(1),
	}
	asHex := cmd.Flags().Bool("hex", false, "print it in hexadecimal digits, as BitVMX configurations have it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *asHex != (len(args) == 0) {
			return usageError{errors.New("name a new FILE to copy the key into, or print it with --hex, and not both")}
		}
		n, err := nodeOf(cmd)
		if err != nil {
			return err
		}
		key, err := n.key()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			return save(cmd, key, args[0])
		}
		text, err := key.Hex()
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "What follows is the secret key of this node. Whoever sees it can be this node to all its peers.")
		_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}
