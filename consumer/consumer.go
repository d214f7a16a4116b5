package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/suspend"
	"github.com/sluice-go/sluice/consumer/internal/timer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

var (
	// ErrDrainTimeout is returned by [Consumer.Run] when handlers or verdicts
	// were not done within the grace period of a shutdown. What was not settled
	// is delivered again when its lease ends.
	ErrDrainTimeout = errors.New("the consumer was stopped before it was drained")

	// ErrRunTwice is returned by a second call of [Consumer.Run].
	ErrRunTwice = errors.New("a consumer runs once")
)

// A Consumer runs a handler on one queue or several. Make one with [New] or
// [NewWeighted] and call [Consumer.Run] once. Its other methods may be called
// concurrently, before, during and after Run.
type Consumer struct {
	cfg     Config
	log     *slog.Logger // survives its handler, as all hooks are
	told    *invoke.Observers
	handler handler.Handler
	lanes   []*lane
	heap    *timer.Heap
	asleep  func() time.Duration // for how long the machine was suspended
	slept   atomic.Int64         // what asleep returned when leases were judged last

	// base is the context of handlers, without what ends Run's; ops that of
	// requests to the provider, which ends when Run returns; polls that of
	// receives, which ends soon after stop.
	base      context.Context
	ops       context.Context
	polls     context.Context
	endPolls  context.CancelFunc
	stop      chan struct{} // closed when stopping begins
	aborted   chan struct{}
	abortOnce sync.Once
	failed    chan error    // why Run must end; nil where the queue is drained
	poke      chan struct{} // something that a shutdown waits for has changed
	turn      chan struct{} // held by the poller that receives under a restricting gate

	started  atomic.Bool
	born     time.Time
	progress atomic.Int64 // when something was started or finished last, since born; 0 is never
	// How many messages may wait for their group, and for the provider to take
	// their verdict, before receiving pauses. A receive may bring a whole batch
	// of one group, of which one has its turn.
	maxWaiting, maxUnsettled int
	count                    handler.Counter
	panics, gatesFailed      atomic.Uint64
	badGate                  seldom.Event
	gated                    atomic.Bool  // a gate holds receiving back
	reopened                 atomic.Int64 // when one did last, since born
	hasty                    int          // guarded by turn; see maxHasty

	mu       sync.Mutex
	stopping bool
	closing  bool // idle workers end
	ended    bool
	free     int // handler slots that no one has
	waiters  []*waiter
	ready    fifo[*flight]
	solo     solo
	workers  int
	idle     int
	waking   bool // an idle worker was woken and has not looked yet
	work     sync.Cond
	live     *flight // all flights, newest first
	alive    int     // how many they are
	running  int     // handlers at work
	waiting  int     // messages that wait for their group
	parked   int     // messages that are kept in hand for a time
	reruns   int     // those of them whose handler runs again here
	// handBytes are the bodies' bytes of what is parked or waits.
	handBytes int
	drainBy   time.Time // when a stop gives back what has not been started
	hurried   bool      // a stop gives back what is not in time
	unfit     []*flight // what it will give back then
}

// New returns a Consumer that runs h on what source receives. A nil config is
// the defaults. The consumer owns the source from now on: Run closes it.
func New(source drivers.Source, h handler.Handler, cfg *Config) (*Consumer, error) {
	return NewWeighted([]Weighted{{Source: source, Weight: 1}}, h, cfg)
}

// Weighted is a source and its share of the handler slots.
type Weighted struct {
	Source drivers.Source
	// Weight is the source's share, relative to the other sources' that have
	// messages waiting. Zero means 1.
	Weight int
}

// NewWeighted returns a Consumer that runs h on the messages of several
// sources, which share the handler slots by weight: of sources that all have
// messages waiting, one with weight 3 gets three times the slots of one with
// weight 1. What a source does not use goes to the others, and none starves.
func NewWeighted(sources []Weighted, h handler.Handler, cfg *Config) (*Consumer, error) {
	full, err := cfg.complete(len(sources))
	faults := []error{err}
	if len(sources) == 0 {
		faults = append(faults, errors.New("there is no source"))
	}
	faults = append(faults, handler.Check(h))
	for i, s := range sources {
		if s.Source == nil {
			faults = append(faults, fmt.Errorf("source %d is nil", i))
		}
		if s.Weight < 0 {
			faults = append(faults, fmt.Errorf("source %d has weight %d: it must not be negative", i, s.Weight))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c := &Consumer{
		cfg: full, log: full.Logger, handler: h,
		told:    invoke.NewObservers(full.Observers, full.Logger),
		heap:    timer.New(),
		born:    time.Now(),
		asleep:  suspend.Total,
		stop:    make(chan struct{}),
		aborted: make(chan struct{}),
		failed:  make(chan error, 1),
		poke:    make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		free:    full.Concurrency,
	}
	c.work.L = &c.mu
	slots := min(full.Concurrency, maxWeight) // more handlers no machine runs, and the sums must not overflow
	c.maxWaiting = max(1000, 20*slots)
	for _, s := range sources {
		l := newLane(c, s)
		c.lanes = append(c.lanes, l)
		c.maxUnsettled = max(c.maxUnsettled, 2*slots+4*max(l.caps.MaxSettle, 10))
	}
	scaleWeights(c.lanes)
	return c, nil
}

// fail ends Run with err; nil is the good end. The first call counts.
func (c *Consumer) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

// observe counts an event and passes it to the observers. No lock is held.
func (c *Consumer) observe(e handler.Event) {
	c.count.Observe(e)
	c.told.Observe(e)
}

// progressed notes that something was started or finished, or that there was
// nothing to be done until now.
func (c *Consumer) progressed(now time.Time) { c.progress.Store(max(int64(now.Sub(c.born)), 1)) }

// fifo is a queue of items. The zero fifo is empty.
type fifo[T comparable] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(item T) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

func (q *fifo[T]) pop() T {
	var zero T
	item := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

// has reports whether item is in the queue. It looks at each.
func (q *fifo[T]) has(item T) bool { return slices.Contains(q.items[q.head:], item) }

// toFront moves the first item that matches to the front. It reports whether
// there is one.
func (q *fifo[T]) toFront(match func(T) bool) bool {
	items := q.items[q.head:]
	i := slices.IndexFunc(items, match)
	if i < 0 {
		return false
	}
	item := items[i]
	copy(items[1:i+1], items[:i])
	items[0] = item
	return true
}

// drain takes all items out.
func (q *fifo[T]) drain() []T {
	items := q.items[q.head:]
	q.items, q.head = nil, 0
	return items
}
