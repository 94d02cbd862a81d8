package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/examples/committee"
	"github.com/parley-p2p/parley/identity"
)

// gathering is a committee on disk: what its members need to start.
//
//	committee.json        what they agree on
//	member-1/key          identity
//	member-1/address      where it listens
//	member-1/peers.toml   its allow list: the others, and where it reaches them
//	member-1/journal/     the handler's
//	member-1/state        the member's own
//	member-1/log
type gathering struct {
	committee.Committee
	directory string
	keep      bool
	addresses []string // where the members listen
	chaos     *chaos   // nil without any
}

// Ports below the systems' ephemeral ranges, from which outgoing connections
// take theirs: a member's must still be free when it starts again.
const lowPort, highPort = 20_000, 32_000

// gather makes keys, reserves addresses and writes the files.
func gather(o demoOptions) (*gathering, error) {
	g := &gathering{directory: o.keep, keep: o.keep != "", Committee: committee.Committee{
		Transactions: o.transactions, Programs: min(programsMax, o.transactions),
		Seed: o.seed, MessageSize: o.messageSize,
	}}
	if err := g.makeDirectory(); err != nil {
		return nil, err
	}
	err := g.write(o.nodes)
	if err == nil && o.chaos {
		g.chaos, err = newChaos(g, o.seed)
	}
	if err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

func (g *gathering) makeDirectory() (err error) {
	if !g.keep {
		g.directory, err = os.MkdirTemp("", "parley-demo-")
		return err
	}
	err = os.Mkdir(g.directory, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("--keep wants a new directory: %s is there already", g.directory)}
	}
	return err
}

func (g *gathering) write(nodes int) (err error) {
	if g.addresses, err = freeAddresses("127.0.0.1", nodes); err != nil {
		return err
	}
	for n := range nodes {
		if err := os.Mkdir(g.memberDirectory(n), 0o700); err != nil {
			return err
		}
		key, err := identity.LoadOrGenerate(filepath.Join(g.memberDirectory(n), "key"))
		if err != nil {
			return err
		}
		g.Members = append(g.Members, key.PeerID())
		if err := os.WriteFile(filepath.Join(g.memberDirectory(n), "address"), []byte(g.addresses[n]), 0o600); err != nil {
			return err
		}
	}
	for n := range g.Members {
		direct := func(m int) string { return g.addresses[m] }
		if err := g.list(n, g.others(n, direct)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(g.Committee, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(g.directory, "committee.json"), text, 0o600)
}

// others are the members that member n is to know, at the addresses given.
func (g *gathering) others(n int, address func(m int) string) (others []allowlist.Member) {
	for m, id := range g.Members {
		if m != n {
			others = append(others, allowlist.Member{ID: id, Name: memberName(m), Addresses: []string{address(m)}})
		}
	}
	return others
}

// list writes the allow list of member n, which a running member follows.
func (g *gathering) list(n int, peers []allowlist.Member) error {
	list, err := allowlist.New(peers...)
	if err != nil {
		return err
	}
	return list.Save(filepath.Join(g.memberDirectory(n), "peers.toml"))
}

// freeAddresses finds ports of a host of the loopback interface on which nobody
// listens.
func freeAddresses(host string, number int) (addresses []string, err error) {
	for tries := 0; len(addresses) < number; tries++ {
		address := net.JoinHostPort(host, strconv.Itoa(lowPort+rand.IntN(highPort-lowPort)))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			if tries > 100*number {
				return nil, fmt.Errorf("no free port found: %w", err)
			}
			continue
		}
		defer listener.Close() // until all are found, so that none is found twice
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func memberName(n int) string { return "member-" + strconv.Itoa(n+1) }

func (g *gathering) memberDirectory(n int) string { return filepath.Join(g.directory, memberName(n)) }

// audit reads what the members stored, from disk.
func (g *gathering) audit() (committee.Report, error) {
	records := map[identity.ID][]committee.Record{}
	for n, id := range g.Members {
		var err error
		if records[id], err = committee.ReadRecords(filepath.Join(g.memberDirectory(n), "state")); err != nil {
			return committee.Report{}, err
		}
	}
	return committee.Audit(g.Committee, records)
}

// lastWords is the end of every member's log, for when something failed.
func (g *gathering) lastWords() error {
	const lines = 5
	var words []error
	for n := range g.Members {
		log, err := os.ReadFile(filepath.Join(g.memberDirectory(n), "log"))
		if err != nil || len(log) == 0 {
			continue
		}
		all := strings.Split(strings.TrimRight(string(log), "\n"), "\n")
		last := strings.Join(all[max(0, len(all)-lines):], "\n  ")
		words = append(words, fmt.Errorf("log of member %d ends with\n  %s", n+1, last))
	}
	return errors.Join(words...)
}

func (g *gathering) remove() error {
	if g.keep {
		return nil
	}
	return os.RemoveAll(g.directory)
}
