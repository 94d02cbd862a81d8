package audit

// MaxMissed, Decode and Encode are open to the tests.
const MaxMissed = maxMissed

var Decode = decode

func Encode(e Entry) ([]byte, error) { return e.encode() }

// Remember does the first step of a rotation.
func Remember(l *Log) error { return l.remember() }

// Break puts a disk below the log on which things fail.
func Break(l *Log, disk *Disk) {
	disk.file = l.file
	l.file = disk
}

// Disk fails with these errors, where they aren't nil.
type Disk struct {
	file
	WriteFails, SyncFails, TruncateFails error
}

// Mend lets nothing fail any more.
func (d *Disk) Mend() { d.WriteFails, d.SyncFails, d.TruncateFails = nil, nil, nil }

// Write writes half of what it should when it fails.
func (d *Disk) Write(content []byte) (int, error) {
	if d.WriteFails != nil {
		n, _ := d.file.Write(content[:len(content)/2])
		return n, d.WriteFails
	}
	return d.file.Write(content)
}

func (d *Disk) Sync() error {
	if d.SyncFails != nil {
		return d.SyncFails
	}
	return d.file.Sync()
}

func (d *Disk) Truncate(size int64) error {
	if d.TruncateFails != nil {
		return d.TruncateFails
	}
	return d.file.Truncate(size)
}
