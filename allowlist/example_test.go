package allowlist_test

import (
	"fmt"
	"log"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// A list changes while it is in use: who is removed is refused from then on.
func Example() {
	alice, err := identity.ParseID("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")
	if err != nil {
		log.Fatal(err)
	}
	list, err := allowlist.New(allowlist.Member{
		ID:        alice,
		Name:      "alice",
		Addresses: []string{"alice.example.org:4001"},
	})
	if err != nil {
		log.Fatal(err)
	}
	list.OnChange(func(change allowlist.Change) { fmt.Println("gone:", change.Removed) })

	fmt.Println(list.Admits(alice), list.Addresses(alice))
	list.Remove(alice)
	fmt.Println(list.Admits(alice))
	// Output:
	// true [/dns/alice.example.org/tcp/4001]
	// gone: [alice]
	// false
}

func ExampleParseAddress() {
	for _, text := range []string{"10.0.0.7:4001", "alice.example.org:4001", "alice.example.org"} {
		address, err := allowlist.ParseAddress(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(address)
	}
	// Output:
	// /ip4/10.0.0.7/tcp/4001
	// /dns/alice.example.org/tcp/4001
	// address "alice.example.org": the port is missing; write an address as /ip4/10.0.0.7/tcp/4001, /dns/alice.example.org/tcp/4001 or alice.example.org:4001
}

// A list that follows its file takes over every good edit; a bad one is told of.
func ExampleFollow() {
	list, err := allowlist.Follow("peers.toml")
	if err != nil {
		log.Fatal(err)
	}
	defer list.Close()
	list.OnTrouble(func(err error) { log.Print(err, "; the list stays as it was") })
	list.OnChange(func(change allowlist.Change) {
		log.Print("changed by ", change.By, ": ", change.Added, change.Removed, change.Changed)
	})
}
