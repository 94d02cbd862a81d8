package control

import (
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/parley-p2p/parley/proto/parley/v1"
)

// BenchmarkExchanges is what clients that tick get through two nodes on this machine's
// disk: a hundred requests at a time, each of a lane of its own, answered one by one or
// together.
func BenchmarkExchanges(b *testing.B) {
	for name, answer := range map[string]func(*testing.B, side, []*v1.Event){"one by one": oneByOne, "together": allTogether} {
		b.Run(name, func(b *testing.B) {
			x, y := pair(b)
			var messages []*v1.Message
			for i := range 100 {
				messages = append(messages, &v1.Message{Peer: "peer", Lane: strconv.Itoa(i), Body: make([]byte, 100)})
			}
			var asked, told uint64 // places
			for b.Loop() {
				if _, err := x.client.Send(b.Context(), &v1.SendRequest{Messages: messages}); err != nil {
					b.Fatal(err)
				}
				asked = y.tick(b, asked, len(messages), func(events []*v1.Event) { answer(b, y, events) })
				told = x.tick(b, told, len(messages), func(events []*v1.Event) {
					var done v1.CommitRequest
					for _, e := range events {
						done.Ids = append(done.Ids, e.Id)
					}
					if _, err := x.client.Commit(b.Context(), &done); err != nil {
						b.Fatal(err)
					}
				})
			}
			b.ReportMetric(float64(b.N*len(messages))/b.Elapsed().Seconds(), "exchanges/s")
		})
	}
}

// tick receives so many events after a place, and returns the place of the last.
func (s side) tick(b *testing.B, after uint64, count int, work func([]*v1.Event)) uint64 {
	for count > 0 {
		got, err := s.client.Receive(b.Context(), &v1.ReceiveRequest{After: after, Wait: durationpb.New(time.Minute), WithoutNotices: true})
		if err != nil {
			b.Fatal(err)
		}
		work(got.Events)
		count -= len(got.Events)
		after = got.Last
	}
	return after
}

func oneByOne(b *testing.B, s side, events []*v1.Event) {
	for _, e := range events {
		if _, err := s.client.Reply(b.Context(), &v1.ReplyRequest{Id: e.Id, Body: e.Body}); err != nil {
			b.Fatal(err)
		}
	}
}

func allTogether(b *testing.B, s side, events []*v1.Event) {
	var all v1.AnswerRequest
	for _, e := range events {
		all.Answers = append(all.Answers, &v1.OneAnswer{Id: e.Id, Body: e.Body})
	}
	got, err := s.client.Answer(b.Context(), &all)
	if err != nil || len(got.Failures) > 0 {
		b.Fatal(got.GetFailures(), err)
	}
}
