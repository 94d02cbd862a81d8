package main

import (
	"time"

	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
	"github.com/parley-p2p/parley/internal/programs"
	"github.com/parley-p2p/parley/internal/settings"
)

// runnable is the programs that answer requests, as the settings have them.
func runnable(s settings.Settings) ([]programs.Program, error) {
	var all []programs.Program
	for _, p := range s.Programs {
		command, err := p.CommandLine()
		if err != nil {
			return nil, err
		}
		all = append(all, programs.Program{
			Lane: p.Lane, Command: command, Concurrency: p.Concurrency, TimeLimit: time.Duration(p.TimeLimit), Attempts: p.Attempts,
			RetryMin: time.Duration(p.RetryMin), RetryMax: time.Duration(p.RetryMax),
		})
	}
	return all, nil
}

// nameIn is what a list calls a peer.
func nameIn(list *allowlist.List) func(identity.ID) string {
	return func(id identity.ID) string {
		member, _ := list.Member(id)
		return member.Name
	}
}
