package committee

// Progress is how far a member is, for a table.
type Progress struct {
	Keys       int  `json:"keys"`       // of the others
	Nonces     int  `json:"nonces"`     // rounds of which all are known
	Partials   int  `json:"partials"`   // signed by this member
	Signatures int  `json:"signatures"` // aggregated and verified
	Repeated   int  `json:"repeated"`   // attempts after a first one
	Asked      int  `json:"asked"`      // requests made
	Answered   int  `json:"answered"`   // replies to them applied
	Served     int  `json:"served"`     // requests of others answered
	Done       bool `json:"done"`       // nothing is left for this member to ask
}

// Progress counts what the state holds.
func (m *Member) Progress() Progress {
	p := Progress{
		Keys: len(m.state.keys), Signatures: len(m.state.signatures),
		Asked: len(m.state.made), Answered: len(m.state.applied), Served: len(m.state.answers),
	}
	for n := range m.committee.Transactions {
		current := m.state.current(n)
		r := m.state.round(current)
		p.Repeated += current.Attempt - 1
		if len(r.nonces) == len(m.committee.Members)-1 {
			p.Nonces++
		}
		if r.partial != nil {
			p.Partials++
		}
	}
	p.Done = p.Signatures == m.committee.Transactions && len(m.state.unanswered) == 0
	return p
}
