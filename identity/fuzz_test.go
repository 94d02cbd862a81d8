package identity_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-p2p/parley/identity"
)

// FuzzKeyFile loads a key file of arbitrary content. A key that is taken is written
// again as what it was; a file that isn't is named in the error, with a reason, and with
// nothing of what is in it: it may be a key but for one byte.
func FuzzKeyFile(f *testing.F) {
	for _, key := range []string{specEd25519, specSecp256k1, specEd25519 + "00", specSecp256k1[8:], "08001200"} {
		content, err := hex.DecodeString(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add([]byte(key)) // in hexadecimal: not the form of the file
	}
	f.Add(bytes.Repeat([]byte("key"), 8000))
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(directory, "node.key")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := identity.Load(path)
		if err != nil {
			checkKeyError(t, err, path, content)
			return
		}
		encoded, err := crypto.MarshalPrivateKey(key.Libp2p())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := identity.Load(path)
		if err != nil || again.PeerID() != key.PeerID() || !again.Libp2p().Equals(key.Libp2p()) {
			t.Fatalf("written and loaded, it is another: %v", err)
		}
	})
}

func checkKeyError(t *testing.T, err error, path string, content []byte) {
	var wrong *identity.FileError
	if !errors.As(err, &wrong) || wrong.Path != path || !errors.Is(err, identity.ErrInvalidKey) && !errors.Is(err, identity.ErrUnsupported) {
		t.Fatalf("an error without a type: %v", err)
	}
	said := strings.ReplaceAll(err.Error(), path, "")
	if !strings.ContainsFunc(said, func(r rune) bool { return r == ':' }) {
		t.Fatalf("no reason is given: %v", err)
	}
	for at := 0; at+12 <= len(content); at++ {
		piece := content[at : at+12]
		if strings.Contains(said, string(piece)) || strings.Contains(strings.ToLower(said), hex.EncodeToString(piece)) {
			if !ownWords(piece) {
				t.Fatalf("the error repeats what is in the file: %v", err)
			}
		}
	}
}

// ownWords reports whether a text may be in an error by chance: only words.
func ownWords(text []byte) bool {
	for _, b := range text {
		if b >= '0' && b <= '9' || b < ' ' || b > '~' {
			return false
		}
	}
	return true
}
