package committee

import (
	"io"
	"math/rand/v2"
)

// crash is what a member's process dies of: nothing after it is carried out.
type crash struct{}

// fate decides when the next crash is.
type fate struct {
	rng     *rand.Rand
	crashes int // that may still come
	mean    int // steps from one to the next, about; 0: never
}

// strike ends the process if its time has come.
func (f *fate) strike() {
	if f.mean > 0 && f.crashes > 0 && f.rng.IntN(f.mean) == 0 {
		f.crashes--
		panic(crash{})
	}
}

// disk is a file in memory of which a crash leaves what was synced and, of the
// rest, any beginning.
type disk struct {
	fate      *fate
	content   []byte
	synced    int
	offset    int
	full      error  // of writing, when it isn't nil
	afterSync func() // may end the process
}

func (d *disk) Read(p []byte) (int, error) {
	if d.offset == len(d.content) {
		return 0, io.EOF
	}
	n := copy(p, d.content[d.offset:])
	d.offset += n
	return n, nil
}

func (d *disk) Write(p []byte) (int, error) {
	if d.full != nil {
		return 0, d.full
	}
	d.content = append(d.content[:d.offset], p...)
	d.offset = len(d.content)
	return len(p), nil
}

func (d *disk) Seek(offset int64, _ int) (int64, error) {
	d.offset = int(offset)
	return offset, nil
}

func (d *disk) Truncate(size int64) error {
	d.content = d.content[:size]
	return nil
}

func (d *disk) Sync() error {
	d.fate.strike()
	d.synced = len(d.content)
	d.fate.strike()
	if d.afterSync != nil {
		d.afterSync()
	}
	return nil
}

func (d *disk) Close() error { return nil }

// lose is what happens to a disk in a crash.
func (d *disk) lose() {
	d.content = d.content[:d.synced+d.fate.rng.IntN(len(d.content)-d.synced+1)]
	d.offset = 0
}
