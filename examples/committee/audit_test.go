package committee

import (
	"slices"
	"strings"
	"testing"

	"github.com/parley-p2p/parley/identity"
)

// The auditor is worth what it notices.
func TestAuditNotices(t *testing.T) {
	g := gather(t, 3, 3, 2, 1)
	g.run()
	member := g.committee.Members[0]
	find := func(records []Record, kind Kind) int {
		return slices.IndexFunc(records, func(r Record) bool { return r.Kind == kind && r.Ask.Subject != Key })
	}
	repeat := func(kind Kind) func([]Record) []Record {
		return func(records []Record) []Record { return append(records, records[find(records, kind)]) }
	}
	omit := func(kind Kind) func([]Record) []Record {
		return func(records []Record) []Record {
			at := find(records, kind)
			return slices.Delete(records, at, at+1)
		}
	}
	for _, test := range []struct {
		name   string
		change func([]Record) []Record
		want   string
	}{
		{"nothing when nothing is off", func(records []Record) []Record { return records }, ""},
		{"a request that was never made", omit(RequestMade), "1 exchanges lost"},
		{"a request that was never applied", omit(RequestApplied), "1 exchanges lost"},
		{"a reply that was never applied", omit(ReplyApplied), "1 exchanges lost"},
		{"a request applied twice", repeat(RequestApplied), "1 effects applied twice"},
		{"a reply applied twice", repeat(ReplyApplied), "1 effects applied twice"},
		{"a question put twice", func(records []Record) []Record {
			again := records[find(records, RequestMade)]
			again.Exchange.Tag[0]++
			return append(records, again)
		}, "1 effects applied twice"},
		{"a nonce consumed twice", repeat(NonceConsumed), "1 nonces used twice"},
		{"a nonce drawn twice", repeat(NonceMade), "1 nonces used twice"},
		{"another answer than was stored", func(records []Record) []Record {
			at := find(records, ReplyApplied)
			records[at].Answer.Value = slices.Clone(records[at].Answer.Value)
			records[at].Answer.Value[5] ^= 1
			return records
		}, "1 replies that differ"},
		{"a reply to another member's request", func(records []Record) []Record {
			at := find(records, RequestApplied)
			records[at].Peer = member
			return records
		}, "1 replies that differ"},
		{"a missing signature", omit(Signed), "1 transactions without a valid signature"},
		{"a wrong signature", func(records []Record) []Record {
			at := find(records, Signed)
			records[at].Signature = slices.Clone(records[at].Signature)
			records[at].Signature[40] ^= 1
			return records
		}, "1 transactions without a valid signature"},
	} {
		members := map[identity.ID][]Record{}
		for id, disk := range g.disks {
			records, _, err := decodeState(disk.content)
			if err != nil {
				t.Fatal(err)
			}
			members[id] = records
		}
		members[member] = test.change(members[member])
		report, err := Audit(g.committee, members)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := ""
		if err := report.Err(); err != nil {
			got = err.Error()
		}
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
