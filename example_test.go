package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/allowlist"
	"github.com/parley-p2p/parley/identity"
)

// twoNodes are Alice and Bob, who list each other, with journals in memory.
func twoNodes() (alice, bob *parley.Handler) {
	var keys [2]identity.Key
	for i := range keys {
		var err error
		if keys[i], err = identity.Generate(identity.Ed25519); err != nil {
			log.Fatal(err)
		}
	}
	var nodes [2]*parley.Handler
	for i := range nodes {
		list, err := allowlist.New(allowlist.Member{ID: keys[1-i].PeerID()})
		if err != nil {
			log.Fatal(err)
		}
		nodes[i], err = parley.New("127.0.0.1:0", keys[i], parley.Config{
			AllowList: list, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	return nodes[0], nodes[1]
}

// addressOf is where a node of an example listens.
func addressOf(h *parley.Handler) string { return h.Addresses()[0] }

// A synchronous application asks for events in its own loop, without a
// goroutine. Here both sides tick in one.
func Example() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()

	if _, err := alice.Request(bob.PeerID(), addressOf(bob), []byte("what is the answer?")); err != nil {
		log.Fatal(err)
	}
	for done := false; !done; time.Sleep(time.Millisecond) {
		if e, ok := bob.CheckReceive(); ok && e.Kind == parley.RequestReceived {
			fmt.Printf("Bob is asked: %s\n", e.Body)
			if err := bob.Response(e.Peer, []byte("42")); err != nil {
				log.Fatal(err)
			}
		}
		if e, ok := alice.CheckReceive(); ok && e.Kind == parley.ReplyReceived {
			fmt.Printf("Alice is told: %s\n", e.Body)
			done = true
		}
	}
	// Output:
	// Bob is asked: what is the answer?
	// Alice is told: 42
}

func ExampleHandler_Call() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()
	go bob.Serve(context.Background(), func(context.Context, *parley.Request) ([]byte, error) { return []byte("42"), nil })

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := alice.Call(ctx, bob.PeerID(), addressOf(bob), []byte("what is the answer?"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", reply)
	// Output: 42
}

func ExampleHandler_Serve() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()

	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		served <- bob.Serve(ctx, func(_ context.Context, r *parley.Request) ([]byte, error) {
			if len(r.Body) == 0 {
				return nil, errors.New("nothing to sign") // rejects the request
			}
			return append([]byte("signed: "), r.Body...), nil
		})
	}()

	for _, body := range []string{"transaction 1", ""} {
		reply, err := alice.Call(ctx, bob.PeerID(), addressOf(bob), []byte(body))
		var rejected *parley.RejectedError
		if errors.As(err, &rejected) {
			fmt.Println("rejected:", rejected.Reason)
			continue
		}
		fmt.Printf("%s\n", reply)
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// signed: transaction 1
	// rejected: nothing to sign
	// context canceled
}

// Requests of one lane are exchanged one after the other; lanes run side by side.
func ExampleMessage_lane() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()

	for _, m := range []struct{ lane, body string }{{"program A", "step 1"}, {"program A", "step 2"}, {"program B", "step 1"}} {
		if _, err := alice.Send(parley.Message{Peer: bob.PeerID(), Address: addressOf(bob), Lane: m.lane, Body: []byte(m.body)}); err != nil {
			log.Fatal(err)
		}
	}
	waiting := map[string]parley.ID{}
	for len(waiting) < 2 { // step 2 of A doesn't come before step 1 is answered
		e, err := bob.Receive(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		waiting[e.Lane] = e.ID
	}
	fmt.Println(len(waiting), "lanes are at step 1")
	if err := bob.Reply(waiting["program A"], nil); err != nil {
		log.Fatal(err)
	}
	e, err := bob.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", e.Lane, e.Body)
	// Output:
	// 2 lanes are at step 1
	// program A: step 2
}

// A batch is stored by one sync: all of it, or nothing.
func ExampleHandler_Send() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()

	var batch []parley.Message
	for i := range 100 {
		batch = append(batch, parley.Message{
			Peer: bob.PeerID(), Address: addressOf(bob), Lane: fmt.Sprint("program ", i),
			Deadline: time.Now().Add(time.Hour), Body: []byte("a challenge"),
		})
	}
	ids, err := alice.Send(batch...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ids), "requests are on disk")

	batch[99].Body = make([]byte, 65<<20) // too large
	if _, err = alice.Send(batch...); errors.Is(err, parley.ErrTooLarge) {
		fmt.Println("none of the second batch is")
	}
	fmt.Println(len(alice.Exchanges()), "exchanges are open")
	// Output:
	// 100 requests are on disk
	// none of the second batch is
	// 100 exchanges are open
}

func ExampleHandler_Reply() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()
	for _, lane := range []string{"first", "second"} {
		if _, err := alice.Send(parley.Message{Peer: bob.PeerID(), Address: addressOf(bob), Lane: lane}); err != nil {
			log.Fatal(err)
		}
	}

	// With several requests of a peer in hand, each is answered by its ID.
	for range 2 {
		e, err := bob.Receive(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if err := bob.Reply(e.ID, []byte("done with the "+e.Lane)); err != nil {
			log.Fatal(err)
		}
		reply, err := alice.Receive(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(reply.ID == e.ID, string(reply.Body) == "done with the "+e.Lane)
	}
	// Output:
	// true true
	// true true
}

func ExampleHandler_Reject() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()
	if _, err := alice.Request(bob.PeerID(), addressOf(bob), []byte("sign anything")); err != nil {
		log.Fatal(err)
	}

	e, err := bob.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if err := bob.Reject(e.ID, "not without a transaction"); err != nil {
		log.Fatal(err)
	}
	failed, err := alice.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var rejected *parley.RejectedError
	if errors.As(failed.Err, &rejected) {
		fmt.Println(failed.Kind, "because:", rejected.Reason)
	}
	// Output: exchange failed because: not without a transaction
}

// An application that has several events in hand says itself when it is done
// with each.
func ExampleHandler_Commit() {
	alice, bob := twoNodes()
	defer alice.Close()
	defer bob.Close()
	go bob.Serve(context.Background(), func(context.Context, *parley.Request) ([]byte, error) { return []byte("42"), nil })
	if _, err := alice.Request(bob.PeerID(), addressOf(bob), nil); err != nil {
		log.Fatal(err)
	}

	e, err := alice.Receive(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	// Here the application stores what follows from the reply, with e.ID, so
	// that it knows the reply again if it crashes before the next line.
	if err := alice.Commit(e.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(alice.Exchanges()), "exchanges are open")
	// Output: 0 exchanges are open
}
