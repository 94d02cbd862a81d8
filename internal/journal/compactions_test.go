package journal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestTablesAreMergedOnceAJournalIsOpen opens a journal again and again, each time
// with one more table: they don't pile up.
func TestTablesAreMergedOnceAJournalIsOpen(t *testing.T) {
	disk := vfs.NewMem()
	for i := range 10 {
		j := mustOpen(t, memDir, disk)
		set(t, j, true, fmt.Sprint(i), "value")
		mustClose(t, j)
	}
	tables := 0
	for _, name := range filesOf(t, disk) {
		if strings.HasSuffix(name, ".sst") {
			tables++
		}
	}
	if tables > 3 {
		t.Fatalf("there are %d tables after 10 starts", tables)
	}
}

// mergingDB is a database in which something waits to be merged, or not.
type mergingDB struct {
	waits   []bool // what it says, one after the other
	accepts []bool
	begun   int
}

func (d *mergingDB) GetAllowedWithoutPermission() int { return 1 }

func (d *mergingDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	if len(d.waits) == 0 {
		return false, pebble.WaitingCompaction{}
	}
	waits := d.waits[0]
	d.waits = d.waits[1:]
	return waits, pebble.WaitingCompaction{}
}

func (d *mergingDB) Schedule(pebble.CompactionGrantHandle) bool {
	accepts := d.accepts[0]
	d.accepts = d.accepts[1:]
	if accepts {
		d.begun++
	}
	return accepts
}

func TestCompactionsBeginOneAtATimeAndOnlyWhileTheDatabaseIsOpen(t *testing.T) {
	db := &mergingDB{waits: []bool{true, true}, accepts: []bool{false, true}}
	c := &compactions{}
	c.Register(2, db)
	may := func(when string, want bool) {
		t.Helper()
		if ok, _ := c.TrySchedule(); ok != want {
			t.Fatalf("%s: one may begin: %v", when, ok)
		}
	}
	may("while Open runs", false)
	c.begin() // the first that waits is gone when its turn comes
	if db.begun != 1 {
		t.Fatalf("%d were begun, want 1", db.begun)
	}
	may("beside another", false)
	c.Done()
	may("after the other", true)
	c.Unregister()
	db.waits = []bool{true}
	c.Done()
	may("after the end", false)
	if db.begun != 1 {
		t.Fatalf("%d were begun, want none after the end", db.begun)
	}
}
