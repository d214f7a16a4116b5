package handlertest

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A Queue delivers messages to a handler and carries out its verdicts. It is
// safe for concurrent use: calls of [Queue.Deliver] at the same time are
// concurrent deliveries.
type Queue struct {
	handler handler.Handler
	config  Config
	time    timeSource
	origin  *handler.Origin

	mu          sync.Mutex
	waiting     schedule
	lastSeq     int
	inFlight    int
	lastID      int
	deliveries  []*Delivery // those that are over, in the order in which they ended
	deadLetters []DeadLetter
	changed     chan struct{} // closed and replaced at each change
}

// New returns an empty queue for h. A nil config has the defaults.
func New(h handler.Handler, config *Config) (*Queue, error) {
	c, err := config.complete()
	if err := errors.Join(handler.Check(h), err); err != nil {
		return nil, fmt.Errorf("handlertest: %w", err)
	}
	return &Queue{
		handler: h,
		config:  c,
		time:    timeSource{c.Clock},
		origin:  &handler.Origin{Queue: c.Queue, System: c.System, MaxDelay: c.MaxDelay},
		changed: make(chan struct{}),
	}, nil
}

// Send puts copies of the messages on the queue, to be delivered after their
// Delay. A message without an ID gets one, and one without an EnqueuedAt the
// present time.
func (q *Queue) Send(ms ...*handler.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		own := clone(m)
		if own.ID == "" {
			q.lastID++
			own.ID = strconv.Itoa(q.lastID)
		}
		now := q.time.now()
		if own.EnqueuedAt.IsZero() {
			own.EnqueuedAt = now
		}
		own.Delay = 0
		q.schedule(&entry{message: own}, now.Add(max(m.Delay, 0)))
	}
	q.change()
}

// Deliver hands the handler the message that has been due for the longest, on
// the caller's goroutine, and carries out the verdict. It returns false if no
// message is due, or a gate is closed.
func (q *Queue) Deliver(ctx context.Context) (*Delivery, bool) {
	d, _ := q.deliver(ctx)
	return d, d != nil
}

// Pending returns the messages that wait for a delivery, the next one first.
// Those being handled are not among them.
func (q *Queue) Pending() []Pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := slices.Clone(q.waiting)
	sort.Sort(next)
	pending := make([]Pending, len(next))
	for i, e := range next {
		pending[i] = Pending{Message: clone(e.message), Attempt: e.attempts + 1, Due: e.due}
	}
	return pending
}

// DeadLetters returns the messages in the dead-letter queue, oldest first.
func (q *Queue) DeadLetters() []DeadLetter {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]DeadLetter(nil), q.deadLetters...)
}

// schedule has the entry delivered from due on. It is called with mu held.
func (q *Queue) schedule(e *entry, due time.Time) {
	q.lastSeq++
	e.seq, e.due = q.lastSeq, due
	heap.Push(&q.waiting, e)
}

// change wakes those who wait for a change. It is called with mu held.
func (q *Queue) change() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func clone(m *handler.Message) *handler.Message {
	return &handler.Message{
		ID:         m.ID,
		Body:       append([]byte(nil), m.Body...),
		Attributes: maps.Clone(m.Attributes),
		Group:      m.Group,
		DedupeID:   m.DedupeID,
		Delay:      m.Delay,
		Attempt:    m.Attempt,
		EnqueuedAt: m.EnqueuedAt,
	}
}

// deliver returns the record, or nil and what to wait for: nil if a change
// of the queue or the time will do, a gate's channel otherwise.
func (q *Queue) deliver(ctx context.Context) (*Delivery, <-chan struct{}) {
	for _, g := range q.config.Gates {
		if n, reopened := g.Admit(1); n == 0 {
			if reopened == nil { // a gate that never says so is closed for good
				reopened = make(chan struct{})
			}
			return nil, reopened
		}
	}
	e := q.take()
	if e == nil {
		return nil, nil
	}
	m := clone(e.message)
	if !q.config.HideAttempt {
		m.Attempt = e.attempts
	}
	d := &Delivery{Message: clone(m), Attempt: e.attempts, At: q.time.now()}
	d.Message.Bind(q.origin, nil)

	settled := false
	// Deferred for a handler that ends its goroutine, as testing.T.FailNow does:
	// the message is then returned instead of staying in flight forever.
	defer func() {
		if !settled {
			q.giveBack(e, d)
		}
	}()
	held := q.call(ctx, m, d)
	d.Duration = q.time.now().Sub(d.At)
	if !held {
		d.Outcome = Lost
	}
	settled = true
	q.settle(e, d)
	return d, nil
}

// take removes and returns the message that has been due for the longest.
func (q *Queue) take() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].due.After(q.time.now()) {
		return nil
	}
	e := heap.Pop(&q.waiting).(*entry)
	e.attempts++
	q.inFlight++
	return e
}

// call runs the handler and says whether the lease was held to the end.
func (q *Queue) call(ctx context.Context, m *handler.Message, d *Delivery) (held bool) {
	held = true
	ctx = handler.WithShared(ctx)
	if q.config.NoLease {
		m.Bind(q.origin, nil)
	} else {
		lease := NewLease(q.config.Lease, q.config.Clock)
		m.Bind(q.origin, lease)
		ctx = lease.Context(ctx)
		defer func() {
			held = lease.End()
			d.Extensions = len(lease.Extensions())
		}()
	}
	p, err := invoke.Call(ctx, q.handler, m)
	if p != nil {
		d.Panic = p.Value
	}
	d.Verdict = handler.VerdictOf(err)
	return held
}

// settle carries out the verdict.
func (q *Queue) settle(e *entry, d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.time.now()
	switch {
	case d.Outcome == Lost:
	case d.Verdict.Action == handler.ActionAck:
		d.Outcome = Acked
	case d.Verdict.Action == handler.ActionDrop:
		d.Outcome = Dropped
	case d.Verdict.Action == handler.ActionDeadLetter && !q.config.NoDeadLetter:
		d.Outcome = DeadLettered
	case d.Verdict.Postponed:
		d.Outcome = Postponed
		d.Delay = q.delay(d.Verdict)
		e.attempts--
	default:
		d.Outcome = Redelivered
		d.Delay = q.delay(d.Verdict)
	}
	reason := d.Verdict.Err
	limited := q.config.MaxAttempts > 0 && !q.config.NoDeadLetter
	rejected := d.Outcome == DeadLettered
	if (d.Outcome == Redelivered || d.Outcome == Lost) && limited && e.attempts >= q.config.MaxAttempts {
		d.Outcome, d.Delay = DeadLettered, 0
		reason = handler.Exhausted(e.attempts, q.config.MaxAttempts, reason)
	}
	switch d.Outcome {
	case Redelivered, Lost, Postponed:
		q.schedule(e, now.Add(d.Delay))
	case DeadLettered:
		q.deadLetters = append(q.deadLetters, DeadLetter{
			Message: clone(e.message), Attempt: e.attempts, Err: reason, Rejected: rejected, At: now,
		})
	case Acked, Dropped:
	}
	q.deliveries = append(q.deliveries, d)
	q.inFlight--
	q.change()
}

func (q *Queue) giveBack(e *entry, d *Delivery) {
	d.Verdict = handler.Verdict{Err: invoke.ErrGoexit}
	q.settle(e, d)
}

func (q *Queue) delay(v handler.Verdict) time.Duration {
	d := q.config.RetryDelay
	if v.Action == handler.ActionRetry && v.Delayed {
		d = v.Delay
	}
	if q.config.MaxDelay > 0 {
		d = min(d, q.config.MaxDelay)
	}
	return d
}

// Drain delivers messages until none is left, retries included, and returns the
// records of the deliveries that it made, in the order in which they ended. It
// waits for messages that are not due yet: with a [Clock] it moves the clock to
// the next of them once no handler runs, otherwise it waits by the time package,
// which takes no time in a testing/synctest bubble.
//
// It ends early, with the context's cause, when ctx is done; a handler that runs
// then is waited for. The handlers' contexts end with ctx too.
func (q *Queue) Drain(ctx context.Context) ([]*Delivery, error) {
	q.mu.Lock()
	from := len(q.deliveries)
	q.mu.Unlock()

	var err error
	if q.config.Concurrency == 1 {
		err = q.work(ctx)
	} else {
		errs := make([]error, q.config.Concurrency)
		var workers sync.WaitGroup
		for i := range errs {
			workers.Go(func() { errs[i] = q.work(ctx) })
		}
		workers.Wait()
		err = errs[0]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*Delivery(nil), q.deliveries[from:]...), err
}

// work delivers until the queue is empty and no message is in flight.
func (q *Queue) work(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		changed := q.watch()
		d, reopened := q.deliver(ctx)
		if d != nil {
			continue
		}
		wait, empty := q.idle()
		if empty {
			return nil
		}
		if reopened == nil && wait == 0 {
			continue // the clock was moved, or something fell due meanwhile
		}
		if err := pause(ctx, changed, reopened, wait); err != nil {
			return err
		}
	}
}

// watch returns a channel that is closed at the next change.
func (q *Queue) watch() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// forever is the wait for what only a change of the queue can bring.
const forever time.Duration = 1<<63 - 1

// idle says that nothing is left to do, or how long it is until the next message
// is due. With a clock of its own it moves that instead, unless a handler runs:
// what that one needs of the time is the test's to give.
func (q *Queue) idle() (wait time.Duration, empty bool) {
	q.mu.Lock()
	running := q.inFlight > 0
	none := len(q.waiting) == 0
	var next time.Time
	if !none {
		next = q.waiting[0].due
	}
	q.mu.Unlock()

	wait = next.Sub(q.time.now())
	switch {
	case none:
		return forever, !running
	case wait <= 0:
		return 0, false
	case q.config.Clock == nil:
		return wait, false
	case running:
		return forever, false
	default:
		q.config.Clock.advanceTo(next)
		return 0, false
	}
}

// pause waits for a change or, if a gate is closed, for that gate; the time
// counts only if no gate is in the way.
func pause(ctx context.Context, changed, reopened <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if reopened == nil && wait != forever {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
	case <-reopened:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
