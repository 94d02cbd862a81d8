// Package identity holds who a node is: its private key, the peer ID that
// follows from the public half, and the file in which the key is kept.
//
// Keys and peer IDs are those of libp2p (the peer-ids specification): any other
// libp2p implementation reads them and writes them. Of libp2p's four kinds of
// key only Ed25519 and secp256k1 are accepted. A peer ID of these kinds carries
// the whole public key, RSA keys can be made so large that checking one
// signature is an attack, and ECDSA keys don't load everywhere.
//
//	key, err := identity.LoadOrGenerate("parley.key")
//	if err != nil {
//		return err
//	}
//	fmt.Println(key.PeerID()) // 12D3KooW…: what others put on their allow lists
//
// A [Key] never prints its secret, whatever formats it.
package identity

import "errors"

// The reasons for which a key or a peer ID is refused, to be matched with
// [errors.Is]. A key file that doesn't exist matches [io/fs.ErrNotExist], one
// that is in the way of [Key.Save] matches [io/fs.ErrExist].
var (
	// ErrInvalidKey is something that isn't a libp2p private key.
	ErrInvalidKey = errors.New("not a libp2p private key")
	// ErrInvalidID is something that isn't a libp2p peer ID.
	ErrInvalidID = errors.New("not a peer ID")
	// ErrUnsupported is a key, or the peer ID of one, of a kind not taken here.
	ErrUnsupported = errors.New("only Ed25519 and secp256k1 identities are accepted")
	// ErrExposed is a key file that others than its owner can read or write.
	ErrExposed = errors.New("others can read or write this private key")
	// ErrNoKey is the zero Key where a key is needed.
	ErrNoKey = errors.New("no private key: make one with Generate, Load or ParseHex")
)

// FileError says which key file couldn't be used, and why.
type FileError struct {
	Op   string // "load" or "save"
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Op + " key file " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }
