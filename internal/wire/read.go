package wire

import "io"

// Reader is what frames are read from: a *bufio.Reader in front of a stream.
type Reader interface {
	io.Reader
	io.ByteReader
}

// ReadFrame reads one header, with its length, and leaves r at the first byte
// of the payload. See [Decoder.ReadFrame].
func ReadFrame(r Reader) (Frame, error) {
	return NewDecoder(r).ReadFrame()
}

// Decoder reads the frames of one stream with one buffer for all headers. It is
// not safe for concurrent use.
type Decoder struct {
	r      Reader
	header []byte
}

// NewDecoder reads from r. It never reads beyond what it returns: the payload
// is the caller's to read from r before the next frame.
func NewDecoder(r Reader) *Decoder { return &Decoder{r: r} }

// ReadFrame reads one header and leaves the reader at the first byte of the
// payload. A stream that ends between frames gives io.EOF, one that ends within
// a header io.ErrUnexpectedEOF, one that fails its own error; a frame that
// breaks the protocol an [*Error].
//
// The length is checked before anything is allocated. A peer that claims a
// header and doesn't send it is waited for: the caller sets a deadline. (Text
// such as "GET / HTTP/1.1" is one: "G" claims 71 bytes, and when they have
// come "E" is refused as the wrong protobuf type of a field.)
func (d *Decoder) ReadFrame() (Frame, error) {
	length, err := d.readLength()
	if err != nil {
		return Frame{}, err
	}
	if cap(d.header) < length {
		d.header = make([]byte, length, max(length, usualHeader))
	}
	d.header = d.header[:length]
	if _, err := io.ReadFull(d.r, d.header); err != nil {
		return Frame{}, truncated(err)
	}
	return DecodeHeader(d.header)
}

// usualHeader is enough, in bytes, for most headers of a stream's life.
const usualHeader = 256

// readLength reads the uvarint before a header: one byte, or two from 128 up.
// A longer encoding of a small number is refused, and so is no header at all.
func (d *Decoder) readLength() (int, error) {
	low, err := d.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if low == 0 {
		return 0, bad("empty header")
	}
	if low < 0x80 {
		return int(low), nil
	}
	high, err := d.r.ReadByte()
	if err != nil {
		return 0, truncated(err)
	}
	length := int(low&0x7f) | int(high&0x7f)<<7
	switch {
	case high >= 0x80 || length > MaxHeader:
		return 0, bad("header longer than 4096 bytes")
	case high == 0:
		return 0, bad("header length in more bytes than it needs")
	}
	return length, nil
}

// truncated is the error of a stream that stopped within a frame.
func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
