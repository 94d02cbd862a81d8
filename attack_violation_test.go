package parley_test

import (
	"testing"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/internal/attack"
)

// A listed peer that breaks a rule is disconnected, named with the rule, and kept
// out; nobody else notices.
func TestViolatorsAreNamedAndKeptOut(t *testing.T) {
	for _, test := range attack.Attacks {
		if test.Kind != attack.Violation {
			continue
		}
		t.Run(test.Name, func(t *testing.T) {
			a := newArena(t, nil)
			by := a.against()
			by.Times = 5
			report := a.amid(test.Run, by, 50)
			if report.Secured == 0 || report.Lost != report.Secured {
				t.Errorf("the node kept a connection: %v", report)
			}
			e := a.untilAlerted(parley.ProtocolViolation, by.Key.PeerID())
			t.Logf("%v: %v", e.Kind, e.Err)
			if e.Err == nil || e.Err.Error() == "" || e.Address == "" {
				t.Errorf("the violation is told as %+v", e)
			}
			a.wantPeace()
		})
	}
}
