package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// peersKnown are the peers, by their names where they have some.
func peersKnown(ctx context.Context, c api) ([]cobra.Completion, error) {
	got, err := c.ListPeers(ctx, &v1.ListPeersRequest{})
	if err != nil {
		return nil, err
	}
	var all []cobra.Completion
	for _, p := range got.Peers {
		all = append(all, cobra.CompletionWithDesc(or(p.Name, p.Id), standing(p)))
	}
	return all, nil
}

// peersRefused are those that wait to be accepted.
func peersRefused(ctx context.Context, c api) ([]cobra.Completion, error) {
	got, err := c.ListPending(ctx, &v1.ListPendingRequest{})
	if err != nil {
		return nil, err
	}
	var all []cobra.Completion
	for _, p := range got.Pending {
		all = append(all, cobra.CompletionWithDesc(p.Id, "from "+p.Address))
	}
	return all, nil
}

// exchangesOpen are those that are open and fit.
func exchangesOpen(fits func(*v1.Exchange) bool) func(context.Context, api) ([]cobra.Completion, error) {
	return func(ctx context.Context, c api) ([]cobra.Completion, error) {
		got, err := c.ListExchanges(ctx, &v1.ListExchangesRequest{})
		if err != nil {
			return nil, err
		}
		var all []cobra.Completion
		for _, x := range got.Exchanges {
			if fits(x) {
				all = append(all, cobra.CompletionWithDesc(tag(x.Id), fmt.Sprintf("%s, lane %q", or(x.Name, x.Peer), x.Lane)))
			}
		}
		return all, nil
	}
}

// whichever, madeHere, ofPeers and toBeAnswered are what commands are about.
func whichever(*v1.Exchange) bool  { return true }
func madeHere(x *v1.Exchange) bool { return x.MadeHere }
func ofPeers(x *v1.Exchange) bool  { return !x.MadeHere }
func toBeAnswered(x *v1.Exchange) bool {
	return !x.MadeHere && (x.State == "stored" || x.State == "delivered")
}

// toBeCommitted are those that have ended here, and whose outcome waits.
func toBeCommitted(x *v1.Exchange) bool { return x.MadeHere && x.Ended != nil }

// lanesOpen are the lanes of the exchanges that are open.
func lanesOpen(ctx context.Context, c api) ([]cobra.Completion, error) {
	got, err := c.ListExchanges(ctx, &v1.ListExchangesRequest{})
	if err != nil {
		return nil, err
	}
	lanes := map[string]bool{} // as many as exchanges are open (Settings.Limits.Open), at most
	for _, x := range got.Exchanges {
		lanes[x.Lane] = true
	}
	delete(lanes, "")
	return slices.Sorted(maps.Keys(lanes)), nil
}

// deadLetters are what no program could answer.
func deadLetters(ctx context.Context, c api) ([]cobra.Completion, error) {
	got, err := c.ListDeadLetters(ctx, &v1.ListDeadLettersRequest{})
	if err != nil {
		return nil, err
	}
	var all []cobra.Completion
	for _, l := range got.DeadLetters {
		all = append(all, cobra.CompletionWithDesc(tag(l.Id), or(l.Name, l.Peer)+": "+l.Reason))
	}
	return all, nil
}
