package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/suspend"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/timer"
)

var (
	// ErrDrainTimeout is returned by [Consumer.Run] when handlers or verdicts were not
	// done within the grace period of a shutdown. Messages that were not settled are
	// delivered again when their leases end.
	ErrDrainTimeout = errors.New("the consumer was stopped before it was drained")

	// ErrRunTwice is returned by a second call of [Consumer.Run], and by one that follows
	// [Consumer.Close].
	ErrRunTwice = errors.New("a consumer runs only once: make another with New")
)

// A Consumer runs a handler on one queue or several. Make one with [New] or
// [NewWeighted] and call [Consumer.Run] once. Its other methods may be called
// concurrently, before, during and after Run.
type Consumer struct {
	cfg     Config
	log     *slog.Logger // survives its handler
	handler handler.Handler
	sources []*source
	heap    *timer.Heap[*delivery] // drives all leases
	shuts   *timer.Heap[*shut]     // opens groups

	// base is the context of handlers: Run's without its end. ops is that of requests to
	// the provider and ends when Run returns; polls is that of receives and ends soon
	// after a stop.
	base     context.Context
	ops      context.Context
	polls    context.Context
	endPolls context.CancelFunc

	begun     atomic.Bool // Run or Close was called
	fatal     chan error  // why Run must end; nil if the queue is drained
	aborted   chan struct{}
	abortOnce sync.Once
	closed    chan struct{} // Close was called
	closeOnce sync.Once
	returned  chan struct{} // closed when Run has returned
	result    error         // of Run, set before returned is closed

	report     reporter
	progress   progress
	sleepClock sleepClock
	gates      gates
	monitor    monitor

	// mu guards the scheduling state: the fields of the types below, and those of source
	// that say so.
	mu        sync.Mutex
	hand      hand
	slots     slots
	workers   workers
	parking   parking
	isolation isolation
	drain     drain
}

// New returns a Consumer that runs h on the messages of source. A nil config selects the
// defaults. The consumer owns the source from now on: [Consumer.Run] and
// [Consumer.Close] close it.
func New(source drivers.Source, h handler.Handler, cfg *Config) (*Consumer, error) {
	return NewWeighted([]Weighted{{Source: source, Weight: 1}}, h, cfg)
}

// Weighted is a source and its share of the handler slots.
type Weighted struct {
	Source drivers.Source
	// Weight is the source's share, relative to the other sources of its priority that have
	// messages waiting. Zero means 1.
	Weight int
	// Priority puts the source before all of a lower one: while it has messages waiting,
	// nothing is received for them, which can starve them. Zero is the lowest.
	Priority int
	// Handler handles the messages of this source. Nil means the consumer's.
	Handler handler.Handler
	// Gates can hold back receiving from this source, and from no other. They are asked
	// before [Config].Gates.
	Gates []handler.Gate
}

// NewWeighted returns a Consumer that runs h on the messages of several sources, which
// share the handler slots by weight: of sources that all have messages waiting, one with
// weight 3 gets three times the slots of one with weight 1. Slots that a source does not
// use go to the others, and none starves, unless the sources have priorities. h may be nil
// if every source has a handler of its own.
func NewWeighted(sources []Weighted, h handler.Handler, cfg *Config) (*Consumer, error) {
	full, err := cfg.complete(len(sources))
	faults := []error{err}
	if len(sources) == 0 {
		faults = append(faults, errors.New("no source was given"))
	}
	own := 0
	for i, s := range sources {
		if s.Handler != nil {
			own++
			faults = append(faults, handler.Check(s.Handler))
		}
		if s.Priority < 0 {
			faults = append(faults, fmt.Errorf("source %d has priority %d: it must not be negative", i, s.Priority))
		}
		if err := setting.NotNil("Gates", s.Gates); err != nil {
			faults = append(faults, fmt.Errorf("source %d: %w", i, err))
		}
		if s.Source == nil {
			faults = append(faults, fmt.Errorf("source %d is nil", i))
		}
		if s.Weight < 0 {
			faults = append(faults, fmt.Errorf("source %d has weight %d: it must not be negative", i, s.Weight))
		}
	}
	if h != nil || own < len(sources) || own == 0 {
		faults = append(faults, handler.Check(h))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	c := &Consumer{
		cfg: full, log: full.Logger, handler: h, heap: timer.New[*delivery](), shuts: timer.New[*shut](),
		base: context.Background(), ops: context.Background(), polls: context.Background(),
		fatal:    make(chan error, 1),
		aborted:  make(chan struct{}),
		closed:   make(chan struct{}),
		returned: make(chan struct{}),
	}
	c.report.log, c.report.observers = full.Logger, invoke.NewObservers(full.Observers, full.Logger)
	c.progress.born = time.Now()
	c.sleepClock.c, c.sleepClock.asleep = c, suspend.NewClock().Total
	c.gates.c, c.gates.list, c.gates.turn = c, full.Gates, make(chan struct{}, 1)
	c.monitor, c.drain = monitor{c}, newDrain(c)
	c.hand.c, c.slots.c, c.workers.c, c.parking.c, c.isolation.c = c, c, c, c, c
	c.slots.free = full.Concurrency
	c.workers.work.L = &c.mu
	most := min(full.Concurrency, maxWeight) // no machine runs more handlers, and the sums must not overflow
	c.hand.maxWaiting = max(1000, 20*most)
	for _, w := range sources {
		s := newSource(c, w)
		c.sources = append(c.sources, s)
		c.hand.maxUnsettled = max(c.hand.maxUnsettled, 2*most+4*max(s.caps.MaxSettle, 10))
	}
	c.hand.ready = newReady(c.sources)
	scaleWeights(c.sources)
	return c, nil
}

// Run receives and handles until ctx is done, drains, closes the sources and returns nil,
// or [ErrDrainTimeout] if it could not drain in time. It returns within the sum of
// [Config.DrainTimeout] and [Config.StopTimeout], even if a handler or a request hangs.
// With [Config.UntilEmpty] it returns nil when the queue is drained. It returns the
// provider's error, drained as well, if a queue refuses requests at the start, or for
// [Config.GiveUpAfter]; the package comment has the rule. Any other outage is waited out.
// Run blocks, and runs once.
func (c *Consumer) Run(ctx context.Context) error {
	if !c.begun.CompareAndSwap(false, true) {
		return ErrRunTwice
	}
	defer close(c.returned)
	// Handlers and requests outlive ctx: a drain waits for them.
	c.base = detach(ctx)
	var endOps context.CancelFunc
	c.ops, endOps = context.WithCancel(c.base)
	defer endOps()
	c.polls, c.endPolls = context.WithCancel(c.base)
	defer c.endPolls()
	c.report.observers.Keep()
	defer c.report.observers.Close()
	c.sleepClock.start()
	c.progress.note(time.Now())

	if ctx.Err() == nil {
		c.mu.Lock()
		for _, s := range c.sources {
			s.pollers = 1
			s.caution.begin(time.Now())
			go newPoller(s).run()
		}
		c.mu.Unlock()
	}

	var err error
	asked := false
	select {
	case <-ctx.Done():
		asked = true
	case <-c.closed:
		asked = true
	case err = <-c.fatal:
	case <-c.aborted:
	}
	end, drainErr := c.drain.run(asked)
	if err == nil {
		select { // requests were refused while draining
		case err = <-c.fatal:
		default:
		}
	}
	endOps()
	c.result = errors.Join(err, drainErr, c.drain.close(end))
	return c.result
}

// Close stops the consumer as if Run's context were done, waits until Run has returned,
// and returns its error. If Run has not been called, Close closes the sources and returns
// their errors, and Run returns [ErrRunTwice] from then on. Further calls return the same
// error. A handler must not call Close, which would wait for it.
func (c *Consumer) Close() error {
	if c.begun.CompareAndSwap(false, true) {
		defer close(c.returned)
		c.result = c.drain.close(time.Now().Add(c.cfg.StopTimeout))
		return c.result
	}
	c.closeOnce.Do(func() { close(c.closed) })
	<-c.returned
	return c.result
}

// Abort ends the grace period of a shutdown, and begins the shutdown if it has not begun:
// handlers are canceled, and Run returns after at most [Config.StopTimeout], with
// [ErrDrainTimeout] if a handler was running. Abort does not block.
func (c *Consumer) Abort() {
	c.abortOnce.Do(func() {
		c.mu.Lock()
		c.drain.cut = c.hand.running > 0
		c.mu.Unlock()
		close(c.aborted)
	})
}

// Stats returns the numbers of this moment.
func (c *Consumer) Stats() Stats {
	s := Stats{
		Counts: c.report.counter.Counts(), Panics: c.report.panics.Load(),
		HookFailures: c.report.gatePanics.Load() + c.report.observers.Failures(),
	}
	for _, one := range c.sources {
		if one.closedBy() != nil {
			s.Paused++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Running, s.Waiting, s.Parked = c.hand.running, c.hand.waiting+c.hand.ready.len(), c.parking.parked
	s.Settling, s.Pollers = c.hand.unsettled(), c.drain.polling()
	return s
}

// Health returns the state of the consumer. It does not wait for the provider: it checks
// in the background whether messages are waiting, at most once in ten seconds and only if
// no message is received.
func (c *Consumer) Health() Health { return c.monitor.health() }

// abortRun ends Run with err, or without an error if err is nil. The first call counts.
func (c *Consumer) abortRun(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// nack gives deliveries back unhandled. They are wanted elsewhere, so their requests do
// not wait for others to share them. No lock is held.
func (c *Consumer) nack(ds []*delivery) {
	if len(ds) == 0 {
		return
	}
	now := time.Now()
	for _, d := range ds {
		d.nack(0, now)
	}
	for _, s := range c.sources {
		s.settler.retries.Flush()
	}
}
