package journal

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// slowDisk doesn't unlink payloads before it is told to.
type slowDisk struct {
	vfs.FS
	unlink chan struct{}
}

func (d slowDisk) Remove(name string) error {
	if strings.HasSuffix(name, fileSuffix) {
		<-d.unlink
	}
	return d.FS.Remove(name)
}

func TestWhatIsDroppedDoesNotPileUpBehindASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := slowDisk{vfs.NewMem(), make(chan struct{})}
		f, err := openPayloadFiles(disk, "/payloads", quiet)
		if err != nil {
			t.Fatal(err)
		}
		const files = maxRemovals + 1
		for number := range uint64(files) {
			w, err := f.create(number, 0)
			if err == nil {
				err = w.finish()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for number := range uint64(maxRemovals) {
			f.drop([]uint64{number}, true) // doesn't wait
		}
		dropped := false
		go func() {
			f.drop([]uint64{files - 1}, true)
			dropped = true
		}()
		synctest.Wait()
		if dropped {
			t.Fatalf("the disk is busy with %d files, and one more is taken", maxRemovals)
		}
		close(disk.unlink)
		synctest.Wait()
		if left, err := f.list(); !dropped || err != nil || len(left) > 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
		if f.removing != 0 {
			t.Fatalf("%d goroutines are counted that have ended", f.removing)
		}
	})
}
