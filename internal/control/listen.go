package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/parley-p2p/parley/internal/intake"
)

// longestSocket is the bytes that the system has for a socket's path, with the zero
// that ends it.
const longestSocket = len(syscall.RawSockaddrUnix{}.Path)

// ListenUnix listens on a socket that only its owner can reach. A socket that a dead
// process left is replaced; one that a living process serves, and any other file, is
// an error.
func ListenUnix(path string) (net.Listener, error) {
	if err := makeWay(path); err != nil {
		return nil, err
	}
	// Bound in a directory of its own the socket is nobody else's from the first
	// instant: between being bound and its chmod it has whatever mode the umask leaves.
	private, err := os.MkdirTemp(filepath.Dir(path), ".api")
	if err != nil {
		return nil, fmt.Errorf("api.socket: %w: its directory must be there, and the node's user may write there", err)
	}
	defer func() { _ = os.RemoveAll(private) }() // the socket has left it, or failed
	bound := filepath.Join(private, "s")
	if length := max(len(bound), len(path)); length >= longestSocket {
		return nil, fmt.Errorf("%s: a socket's path has at most %d bytes here: set api.socket to a shorter one, as /run/user/1000/parley.sock", path, longestSocket-1-(length-len(path)))
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("api.socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by its name of now
	if err := errors.Join(os.Chmod(bound, 0o600), os.Rename(bound, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("api.socket: %w", err), l.Close())
	}
	return intake.Limited(&socket{UnixListener: l, path: path}), nil
}

// makeWay removes the socket that a dead process left. Whatever else is there stays:
// its name may be a slip, and the file the node's key.
func makeWay(path string) error {
	status, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("api.socket: %w", err)
	}
	if status.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there, and is no socket: set api.socket to the name of no other file, or move it away", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: another process serves this socket: stop it first", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: it isn't known whether another process serves this socket: %w: delete it if none does", path, err)
	}
	return os.Remove(path)
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close ends the listening.
func (s *socket) Close() (err error) {
	s.once.Do(func() { err = os.Remove(s.path) })
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.UnixListener.Close())
}

// ListenLoopback listens on a TCP address that only this machine can reach.
func ListenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("api.tcp: %w: write it as 127.0.0.1:4080", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("api.tcp: %q is no loopback address: a token in the clear is for this machine alone; use 127.0.0.1 or [::1]", host)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("api.tcp: %w", err)
	}
	return intake.Limited(l), nil
}
