package programs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-p2p/parley"
	"github.com/parley-p2p/parley/identity"
)

// patience is how long programs that run may go on when the node stops.
const patience = 5 * time.Second

// ErrNoProgram says that a request can't be retried, since no program is for it.
var ErrNoProgram = errors.New("no program is for its lane now: answer it with parley reply, or parley reject")

// ErrNotDead says that a request is no dead letter.
var ErrNotDead = errors.New("the request is no dead letter: parley deadletters ls lists them")

// Node is what the programs answer for: a parley.Handler.
type Node interface {
	Exchange(parley.ID) (parley.Exchange, error)
	Body(parley.ID) ([]byte, error)
	Take(parley.ID) error
	Reply(parley.ID, []byte) error
	Reject(parley.ID, string) error
}

// Options are what a Runner needs besides the node.
type Options struct {
	Programs []Program
	// Directory is the node's: the programs run in it, and it holds the dead letters.
	Directory string
	// Name is what the allow list calls a peer.
	Name func(identity.ID) string
	// MaxReply bounds what a program may print, in bytes.
	MaxReply int64
	// Hurry is closed when programs that run are to be killed as soon as the node
	// stops. Nil: it never is.
	Hurry  <-chan struct{}
	Logger *slog.Logger
}

// Runner runs programs. Its methods may be called by many goroutines at once. The
// zero Runner has no programs, and leaves all requests to others.
type Runner struct {
	node    Node
	options Options
	pools   []*pool // the longest lanes first
	dead    *deadLetters

	mu      sync.Mutex
	jobs    map[parley.ID]*job // that were offered and aren't over: at most Config.MaxOpen
	ctx     context.Context    // of what runs; nil before Run and after it
	stops   <-chan struct{}    // closed when nothing is waited for any more
	give    func(parley.Event)
	running sync.WaitGroup
}

// job is a request that a program is for.
type job struct {
	event    parley.Event
	pool     *pool
	attempts int
	given    bool               // to a program, in this run of the node
	dead     bool               // clients have it
	over     bool               // nobody waits for its answer any more
	retry    *time.Timer        // between two attempts
	kill     context.CancelFunc // while its program runs, or its answer waits to be stored
}

// New makes the Runner of a node and reads its dead letters. Those that were ended
// meanwhile are let go. What an earlier run, which was killed, has left running is
// killed: so no other process may run programs in the directory.
func New(node Node, o Options) (*Runner, error) {
	r := &Runner{node: node, options: o, jobs: map[parley.ID]*job{}}
	if err := Check(o.Programs, o.Directory); err != nil {
		return nil, err
	}
	for _, one := range o.Programs {
		p, err := one.withDefaults(o.Directory)
		if err != nil {
			return nil, err
		}
		r.pools = append(r.pools, &pool{Program: p, waiting: map[identity.ID][]*job{}})
	}
	if err := endLeft(o.Directory, o.Logger); err != nil {
		return nil, err
	}
	slices.SortFunc(r.pools, func(a, b *pool) int { return cmp.Compare(len(b.Lane), len(a.Lane)) })
	var err error
	r.dead, err = openDeadLetters(o.Directory, func(id parley.ID) bool {
		x, err := node.Exchange(id)
		return err != nil && errors.Is(err, parley.ErrUnknown) || err == nil && !x.Ended.IsZero()
	})
	return r, err
}

// Run runs the programs until the context ends, and then lets those that run end for
// a while, unless there is a hurry. A request that becomes a dead letter is given to give.
func (r *Runner) Run(ctx context.Context, give func(parley.Event)) error {
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	r.mu.Lock()
	r.ctx, r.stops, r.give = running, ctx.Done(), give
	for _, p := range r.pools {
		r.fill(p)
	}
	r.mu.Unlock()

	<-ctx.Done()
	r.mu.Lock()
	r.ctx = nil // nothing more starts
	for _, j := range r.jobs {
		if j.retry != nil {
			j.retry.Stop()
		}
	}
	r.mu.Unlock()
	go func() { // one for each handler
		defer kill()
		select {
		case <-time.After(patience):
		case <-r.options.Hurry:
		case <-running.Done():
		}
	}()
	r.running.Wait()
	return nil
}

// Offer gives a request to the program that is for it. False: there is none, or it is
// a dead letter.
func (r *Runner) Offer(e parley.Event) bool {
	p := r.poolOf(e.Lane)
	if p == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j := &job{event: e, pool: p, given: e.Redelivered || e.PossiblySeen, dead: r.dead.has(e.ID)}
	r.jobs[e.ID] = j
	if j.dead {
		return false
	}
	p.add(j)
	r.fill(p)
	return true
}

func (r *Runner) poolOf(lane string) *pool {
	for _, p := range r.pools {
		if strings.HasPrefix(lane, p.Lane) {
			return p
		}
	}
	return nil
}

// Drop says that nobody waits for an answer to a request any more, so that its
// program is killed. It reports whether a program had it, and not clients.
func (r *Runner) Drop(id parley.ID) bool {
	r.mu.Lock()
	j := r.jobs[id]
	had := j != nil && !j.dead
	if j != nil {
		r.end(j)
		if j.kill != nil {
			j.kill()
		}
	}
	r.mu.Unlock()
	r.bury(id)
	return had
}

// DeadLetters are the requests whose programs have failed, the oldest first.
func (r *Runner) DeadLetters() []DeadLetter { return r.dead.all() }

// Retry gives a dead letter to its program anew; taken is called before, when nothing
// can fail any more. Errors: ErrNotDead, ErrNoProgram, and those of the file of dead
// letters.
func (r *Runner) Retry(id parley.ID, taken func(parley.ID)) error {
	if !r.dead.has(id) {
		return fmt.Errorf("%s: %w", id, ErrNotDead)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[id]
	if j == nil {
		return fmt.Errorf("%s: %w", id, ErrNoProgram)
	}
	if err := r.dead.remove(id); err != nil {
		return err
	}
	taken(id)
	j.dead, j.attempts = false, 0
	j.pool.add(j)
	r.fill(j.pool)
	return nil
}

// fill starts what waits, as far as there is room.
func (r *Runner) fill(p *pool) {
	for r.ctx != nil && p.running < p.Concurrency {
		j := p.next()
		if j == nil {
			return
		}
		ctx, kill := context.WithCancel(r.ctx)
		j.kill, j.attempts = kill, j.attempts+1
		again := j.given
		j.given = true
		p.running++
		r.running.Go(func() { // at most maxRunning
			err := r.attempt(ctx, j, again)
			kill()
			r.attempted(j, err)
		})
	}
}

// attempt runs the program of a request once, and passes its answer on.
func (r *Runner) attempt(ctx context.Context, j *job, again bool) error {
	body, err := r.node.Body(j.event.ID)
	if err == nil {
		err = r.node.Take(j.event.ID)
	}
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, j.pool.TimeLimit)
	defer cancel()
	trace, err := leaveTrace(r.options.Directory, j.event.ID)
	if err != nil {
		r.options.Logger.Warn("a program leaves no trace: should the node be killed, it may go on beside the next", "exchange", j.event.ID, "error", err)
	}
	result := run(limited, j.pool.Program, r.environment(j.event, again), r.options.Directory, body, r.options.MaxReply, trace.started)
	trace.remove()
	if result.said != "" {
		r.options.Logger.Info("a program wrote to standard error", "program", j.pool.Command[0], "exchange", j.event.ID, "said", result.said)
	}
	switch {
	case result.err != nil:
		return result.err
	case result.reject:
		return r.insist(ctx, j, "rejected", func() error { return r.node.Reject(j.event.ID, result.reason()) })
	default:
		return r.insist(ctx, j, "answered", func() error { return r.node.Reply(j.event.ID, result.output) })
	}
}

// insist has the node store something about a request, later and later, until it has,
// or never will, or nobody waits for it, or the node stops. That the node can't, as
// with a full disk, is no failure of the program: it has had its effect, and doesn't
// run again for that. Its place stays taken meanwhile, so that no more outputs are
// kept than programs may run.
func (r *Runner) insist(ctx context.Context, j *job, what string, store func() error) error {
	for failures := 1; ; failures++ {
		err := store()
		if err == nil || final(err) {
			return err
		}
		delay := j.pool.delay(failures)
		r.options.Logger.Warn("a request can't be "+what+" now: that is tried again", "exchange", j.event.ID, "in", delay, "error", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done(): // its exchange is over
			return fmt.Errorf("%w: %w", errUnstored, err)
		case <-r.stops:
			return fmt.Errorf("%w: %w", errUnstored, err)
		}
	}
}

// errUnstored says that the node stopped, or the exchange was over, before something
// was stored.
var errUnstored = errors.New("it could not be stored")

// final reports whether the node would say the same again.
func final(err error) bool {
	return slices.ContainsFunc([]error{
		parley.ErrAnswered, parley.ErrAbandoned, parley.ErrUnknown, parley.ErrInvalid, parley.ErrTooLarge, parley.ErrDamaged, parley.ErrClosed, parley.ErrJournal,
	}, func(one error) bool { return errors.Is(err, one) })
}

// attempted decides what follows from an attempt.
func (r *Runner) attempted(j *job, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.kill = nil
	j.pool.running--
	defer r.fill(j.pool)
	switch {
	case j.over:
	case err == nil, errors.Is(err, parley.ErrAnswered), errors.Is(err, parley.ErrAbandoned), errors.Is(err, parley.ErrUnknown):
		r.end(j)
	case r.ctx == nil, errors.Is(err, parley.ErrClosed), errors.Is(err, parley.ErrJournal), errors.Is(err, errUnstored):
		// The node stops: the request is given again at the next start.
	default:
		r.failed(j, err)
	}
}

// failed has a request tried again later, or makes it a dead letter.
func (r *Runner) failed(j *job, err error) {
	log := r.options.Logger.With("program", j.pool.Command[0], "exchange", j.event.ID, "attempt", j.attempts, "error", err)
	if j.attempts >= j.pool.Attempts {
		letter := DeadLetter{
			ID: j.event.ID, Peer: j.event.Peer, Lane: j.event.Lane, Program: j.pool.Command[0],
			Attempts: j.attempts, Died: time.Now(), Reason: err.Error(),
		}
		unkept := r.dead.add(letter)
		if unkept == nil {
			log.Error("a program has failed for the last time: the request is a dead letter (parley deadletters ls)")
			j.dead = true
			e := j.event
			e.Redelivered = true // the program had it
			r.give(e)
			return
		}
		log.Error("a request can't be made a dead letter, and is tried again", "reason", unkept)
	}
	delay := j.pool.delay(j.attempts)
	log.Warn("a program has failed, and runs again", "in", delay)
	j.retry = time.AfterFunc(delay, func() { r.again(j) }) // one for each exchange
}

// again has a request wait for its next attempt.
func (r *Runner) again(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.retry = nil
	if r.ctx == nil || j.over {
		return
	}
	j.pool.add(j)
	r.fill(j.pool)
}

// end forgets a request.
func (r *Runner) end(j *job) {
	j.over = true
	delete(r.jobs, j.event.ID)
	j.pool.remove(j)
	if j.retry != nil {
		j.retry.Stop()
	}
}

// bury takes a dead letter that was ended off the list.
func (r *Runner) bury(id parley.ID) {
	if !r.dead.has(id) {
		return
	}
	if err := r.dead.remove(id); err != nil {
		r.options.Logger.Warn("a dead letter that was ended is listed until the next start", "exchange", id, "error", err)
	}
}
