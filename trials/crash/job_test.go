package crash

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// job is a request, and what is to become of it. Both processes draw it from the
// seed and its number.
type job struct {
	number   int
	kind     kind
	size     int // of the request, in bytes
	reply    int // of the reply
	deadline time.Duration
}

type kind int

const (
	plain    kind = iota // answered
	refused              // rejected
	recalled             // answered, unless it is cancelled before
	late                 // answered, unless it has expired before
	held                 // never answered: cancelled
	forsaken             // never answered: it expires
)

const lanes = 4

func drawJob(seed uint64, number int) job {
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	j := job{number: number, size: drawSize(random), reply: drawSize(random)}
	switch n := random.IntN(20); {
	case n < 2:
		j.kind = refused
	case n < 4:
		j.kind = recalled
	case n < 5:
		j.kind, j.deadline = late, time.Duration(random.IntN(50))*time.Millisecond
	case n < 6:
		j.kind = held
	case n < 7:
		j.kind, j.deadline = forsaken, 50*time.Millisecond
	}
	return j
}

// drawSize gives all three sizes that are treated apart: sent at once, sent when
// there is room, and kept in a file of their own.
func drawSize(random *rand.Rand) int {
	switch n := random.IntN(16); {
	case n < 1:
		return 1<<20 + random.IntN(1<<19)
	case n < 4:
		return 65<<10 + random.IntN(200<<10)
	}
	return 64 + random.IntN(1<<10)
}

func (j job) lane() string { return fmt.Sprint(j.number % lanes) }

func (j job) cancelled() bool { return j.kind == recalled || j.kind == held }

// request is the job's number, padded.
func (j job) request() []byte { return padded(fmt.Sprint(j.number), j.size) }

// jobOf reads the number that a request begins with.
func jobOf(seed uint64, request []byte) (job, error) {
	number, err := strconv.Atoi(unpadded(request))
	if err != nil {
		return job{}, err
	}
	j := drawJob(seed, number)
	if !bytes.Equal(request, j.request()) {
		return job{}, fmt.Errorf("the request of job %d isn't what was sent", number)
	}
	return j, nil
}

// outcomes are the words for how the job may end, on the asker's side.
func (j job) outcomes() []string {
	switch j.kind {
	case refused:
		return []string{"rejected"}
	case recalled:
		return []string{"answered", "cancelled"}
	case late:
		return []string{"answered", "expired"}
	case held:
		return []string{"cancelled"}
	case forsaken:
		return []string{"expired"}
	}
	return []string{"answered"}
}

func padded(text string, size int) []byte {
	return append([]byte(text), bytes.Repeat([]byte{' '}, max(0, size-len(text)))...)
}

func unpadded(body []byte) string { return strings.TrimRight(string(body), " ") }
