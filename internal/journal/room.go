package journal

import "github.com/cockroachdb/pebble/v2/vfs"

// Room is how many bytes are free on the disk of a directory, and whether a journal
// there takes nothing more: see Options.MinFree.
func Room(dir string) (free uint64, low bool, err error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	return usage.AvailBytes, err == nil && usage.AvailBytes < defaultMinFree, err
}
