package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [PEER]",
		Short: "Find what is wrong, on this side and towards the peers",
		Long: `Find what is wrong: with this node's settings, key, allow list, disk, clock and
listener, and with the way to each peer, or to PEER alone. Each finding that is wrong
says what to do, and the exit code is then 3. Nothing is changed, and no exchange
touched. What is asked of a running node is left out where it doesn't run.`,
		Example: "  parley doctor\n  parley doctor bob --json",
		Args:    oneAtMost("PEER"),

		ValidArgsFunction: completeFirst(live(peersKnown)),
	}
	return answers(cmd, func(cmd *cobra.Command, args []string) (*examination, error) {
		n, err := nodeOf(cmd)
		if err != nil {
			return nil, err
		}
		var e examination
		e.here(cmd, n)
		e.running(cmd, n, args)
		wrong := e.wrong()
		if e.OK = wrong == 0; !e.OK {
			err = fmt.Errorf("%w: %d of %d findings", errOff, wrong, len(e.Findings))
		}
		return &e, err
	}, func(out io.Writer, e *examination) error {
		for _, f := range e.Findings {
			if err := f.print(out); err != nil {
				return err
			}
		}
		return nil
	})
}

// finding is what one check came to.
type finding struct {
	About  string `json:"about"` // "node", or the peer
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`           // what was seen
	Advice string `json:"advice,omitempty"` // what to do, where it isn't well
}

// examination is the findings so far.
type examination struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

func (e *examination) well(about, check, detail string) {
	e.Findings = append(e.Findings, finding{About: about, Check: check, OK: true, Detail: detail})
}

func (e *examination) ill(about, check, detail, advice string) {
	e.Findings = append(e.Findings, finding{About: about, Check: check, Detail: detail, Advice: advice})
}

// tell is well without an error, and else ill.
func (e *examination) tell(about, check, detail string, err error, advice string) {
	if err != nil {
		e.ill(about, check, err.Error(), advice)
		return
	}
	e.well(about, check, detail)
}

func (e *examination) wrong() (count int) {
	for _, f := range e.Findings {
		if !f.OK {
			count++
		}
	}
	return count
}

func (f finding) print(out io.Writer) error {
	standing := "ok   "
	if !f.OK {
		standing = "WRONG"
	}
	_, err := fmt.Fprintf(out, "%s  %-12s %-9s %s\n", standing, f.About, f.Check, f.Detail)
	if err == nil && f.Advice != "" {
		_, err = fmt.Fprintf(out, "       %s\n", f.Advice)
	}
	return err
}
