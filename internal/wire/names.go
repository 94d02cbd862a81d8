package wire

import "strconv"

// The names that frames, legs and reasons have in docs/protocol.md.
var (
	kindNames    = [...]string{Hello: "HELLO", Welcome: "WELCOME", Request: "REQUEST", Resume: "RESUME", Continue: "CONTINUE", Ack: "ACK", Nack: "NACK", Reject: "REJECT", Reply: "REPLY", Cancel: "CANCEL"}
	ofNames      = [...]string{OfRequest: "REQUEST", OfReply: "REPLY", OfCancel: "CANCEL"}
	refusalNames = [...]string{Ended: "ENDED", Mismatch: "MISMATCH", Fenced: "FENCED", Policy: "POLICY", TooLarge: "TOO_LARGE"}
	delayNames   = [...]string{NoRoom: "NO_ROOM", TooFast: "TOO_FAST", NotReady: "NOT_READY"}
)

// String is the kind's name in the protocol: "REQUEST".
func (k Kind) String() string { return name(kindNames[:], uint8(k)) }

// String is the leg's name in the protocol: "REPLY".
func (o Of) String() string { return name(ofNames[:], uint8(o)) }

// String is the reason's name in the protocol: "TOO_LARGE".
func (r Refusal) String() string { return name(refusalNames[:], uint8(r)) }

// String is the reason's name in the protocol: "NO_ROOM".
func (d Delay) String() string { return name(delayNames[:], uint8(d)) }

func (k Kind) known() bool    { return k >= Hello && k <= Cancel }
func (o Of) known() bool      { return o >= OfRequest && o <= OfCancel }
func (r Refusal) known() bool { return r >= Ended && r <= TooLarge }
func (d Delay) known() bool   { return d >= NoRoom && d <= NotReady }

// name is the name of a value, or its number where it has none: a log line
// about a broken frame has to show something.
func name(names []string, value uint8) string {
	if int(value) < len(names) && names[value] != "" {
		return names[value]
	}
	return strconv.Itoa(int(value))
}
