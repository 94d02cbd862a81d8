//go:build linux

package parley_test

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

func init() { parts["full"] = runIntoFullDisk }

// A process of its own is forbidden to write any more. It ends by itself when
// all is as it must be; then what it had said is compared with what is on disk.
func TestDiskThatRefusesToWrite(t *testing.T) {
	lines := make(chan line, 16)
	alice := programs(t, [2]string{"full", ""}, lines)[0]
	alice.start()
	var said []string
	for reading := true; reading; {
		select {
		case l := <-lines:
			said = append(said, l.text)
		case <-alice.read:
			reading = false
		}
	}
	if err := alice.command.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, &alice.errors)
	}
	for len(lines) > 0 {
		said = append(said, (<-lines).text)
	}

	key, err := identity.Load(filepath.Join(alice.dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, key, "", parley.Config{Dir: filepath.Join(alice.dir, "journal")})
	for _, text := range said {
		state, name, _ := strings.Cut(text, "\t")
		id, err := parley.ParseID(name)
		if err != nil {
			t.Fatal(err)
		}
		if x := h.exchange(id); (state == "answered") == x.Ended.IsZero() {
			t.Errorf("what was %s before the disk refused is %s after it", state, x.State)
		}
	}
	if len(said) != 3 {
		t.Fatalf("the process said %q", said)
	}
}

// runIntoFullDisk is the process. Its peer lives in it too, with a journal in
// memory, which goes on.
func runIntoFullDisk() error {
	bobKey, err := identity.Generate(identity.Ed25519)
	if err != nil {
		return err
	}
	var alice *playing
	if alice, err = play(func(c *parley.Config) { impatient(c) }); err != nil {
		return err
	}
	bobs, err := parley.New("127.0.0.1:0", bobKey, parley.Config{AllowList: allowlist.Everyone(), PollMax: time.Hour})
	if err != nil {
		return err
	}
	if err := alice.list.Add(allowlist.Member{ID: bobKey.PeerID()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(refused(ctx, alice, bobs), bobs.Close())
}

func refused(ctx context.Context, alice *playing, bob *parley.Handler) error {
	request := func(lane string) (parley.ID, error) {
		ids, err := alice.Send(parley.Message{Peer: bob.PeerID(), Address: bob.Addresses()[0], Lane: lane, Body: []byte(lane)})
		if err != nil {
			return parley.ID{}, err
		}
		return ids[0], nil
	}
	open, err := request("open")
	if err != nil {
		return err
	}
	answered, err := request("answered")
	if err != nil {
		return err
	}
	for range 2 {
		e, err := bob.Receive(ctx)
		if err != nil {
			return err
		}
		if e.ID == answered {
			if err := bob.Reply(answered, []byte("yes")); err != nil {
				return err
			}
		}
	}
	if e, err := alice.Receive(ctx); err != nil || e.ID != answered {
		return fmt.Errorf("%+v came, %w", e, err)
	}
	if err := alice.Commit(answered); err != nil {
		return err
	}
	called := make(chan error, 1)
	go func() {
		_, err := alice.CallMessage(ctx, parley.Message{Peer: bob.PeerID(), Address: bob.Addresses()[0], Lane: "call"})
		called <- err
	}()
	asked, err := bob.Receive(ctx)
	if err != nil {
		return err
	}

	// From here on no file may grow.
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1, Max: 1}); err != nil {
		return err
	}
	for range 2 {
		if _, err := request("after"); !errors.Is(err, parley.ErrJournal) {
			return fmt.Errorf("a request that can't be stored gives %w", err)
		}
	}
	if e, err := alice.Receive(ctx); err != nil || e.Kind != parley.JournalTrouble || !errors.Is(e.Err, parley.ErrJournal) {
		return fmt.Errorf("%v (%w) came, want journal trouble; %w", e.Kind, e.Err, err)
	}
	if err := alice.Reply(asked.ID, nil); !errors.Is(err, parley.ErrJournal) {
		return fmt.Errorf("a reply that can't be stored gives %w", err)
	}
	if err := <-called; !errors.Is(err, parley.ErrJournal) {
		return fmt.Errorf("the call that waited gives %w", err)
	}
	for bob.Peers()[0].Connections > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("the connection stays open: %w", err)
		}
	}
	if err := bob.Reply(open, []byte("nobody listens")); err != nil {
		return err
	}
	fmt.Printf("answered\t%s\nopen\t%s\nopen\t%s\n", answered, open, asked.ID)
	return nil
}
