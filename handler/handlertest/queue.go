package handlertest

import (
	"cmp"
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
	"github.com/sluice-go/sluice/internal/setting"
)

// Config describes the queue to simulate. The zero Config has the defaults.
type Config struct {
	// Queue is the queue's name in the messages' origin. Empty means
	// "test".
	Queue string
	// System is the provider's name there. Empty means
	// "handlertest".
	System string
	// MaxDelay is the longest delay that a retry may have; longer ones are cut
	// to it. Zero means no limit.
	MaxDelay time.Duration
	// Lease is how long the lease of a delivery is. Zero means 30 seconds.
	Lease time.Duration
	// NoLease delivers messages without a lease, as AWS Lambda and HTTP push do.
	NoLease bool
	// RetryDelay is how long a message stays invisible whose retry names no
	// delay. Zero means not at all.
	RetryDelay time.Duration
	// MaxAttempts is the delivery after which a message that is not done with is
	// dead-lettered. Zero means 5; a negative value means
	// that there is no limit.
	MaxAttempts int
	// NoDeadLetter makes a queue without a dead-letter queue: rejected messages
	// are retried, and attempts do not end.
	NoDeadLetter bool
	// HideAttempt delivers messages with attempt 0, as a Pub/Sub subscription
	// without a dead-letter policy does.
	HideAttempt bool
	// Concurrency is how many handlers [Queue.Drain] runs at once. Zero means
	// one, which runs on the caller's goroutine.
	Concurrency int
	// Gates are asked before each delivery, as the runtime asks them.
	Gates []handler.Gate
	// Clock is the time by which delays and leases go. Nil means the time
	// package.
	Clock *Clock
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Queue = cmp.Or(d.Queue, "test")
	d.System = cmp.Or(d.System, "handlertest")
	d.MaxAttempts = cmp.Or(d.MaxAttempts, 5)
	return d, errors.Join(
		setting.NotNegative("MaxDelay", d.MaxDelay),
		setting.Default("Lease", &d.Lease, 30*time.Second),
		setting.NotNegative("RetryDelay", d.RetryDelay),
		setting.Default("Concurrency", &d.Concurrency, 1),
	)
}

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
	deliveries  []*Delivery
	deadLetters []DeadLetter
	changed     chan struct{} // closed and replaced at each change
}

// An entry is a message that is not done with.
type entry struct {
	message  *handler.Message
	attempts int
	due      time.Time
	seq      int // of those due together, the one that came first goes first
}

// A schedule is a heap of entries, the next one on top.
type schedule []*entry

func (s schedule) Len() int      { return len(s) }
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(*entry)) }

func (s schedule) Less(i, j int) bool {
	if !s[i].due.Equal(s[j].due) {
		return s[i].due.Before(s[j].due)
	}
	return s[i].seq < s[j].seq
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	*s = (*s)[:last]
	return e
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
// the caller's goroutine, and carries out the verdict. It returns false where no
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

// Deliveries returns the records of all deliveries that are over, in the order
// in which they ended.
func (q *Queue) Deliveries() []*Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*Delivery(nil), q.deliveries...)
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
