package identity_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/parley-p2p/parley/identity"
)

// A node makes its key when it first starts, and has the same one ever after.
func ExampleLoadOrGenerate() {
	directory, err := os.MkdirTemp("", "node")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(directory)

	path := filepath.Join(directory, "node.key")
	first, err := identity.LoadOrGenerate(path)
	if err != nil {
		log.Fatal(err)
	}
	second, err := identity.LoadOrGenerate(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.PeerID() == second.PeerID())
	// Output: true
}

// A key comes out of a BitVMX configuration as hexadecimal text.
func ExampleParseHex() {
	key, err := identity.ParseHex("0802122053dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key)
	fmt.Println(key.PeerID().Short())
	// Output:
	// private key of 16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY
	// 16Ui…5KvLpY
}
