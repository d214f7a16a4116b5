package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/expiry"
	"github.com/sluice-go/sluice/middleware/log"
	"github.com/sluice-go/sluice/producer"
)

// RelayConfig configures a [Relay].
type RelayConfig struct {
	// Open opens a queue for sending, by the name that its rows have. The relay calls it
	// once for each queue, and again after it has failed. Required.
	Open func(ctx context.Context, queue string) (drivers.Sink, error)

	// Source says which rows are received, and how. Nil means all rows, with the defaults
	// of [SourceConfig].
	Source *SourceConfig

	// Consumer configures the consumer of the table's rows: its concurrency, its gates, its
	// observers. Nil means its defaults, but zero Concurrency means 64 and zero
	// DrainTimeout 5 seconds, because a row's attempt is short and the row is safe.
	Consumer *consumer.Config

	// Producer configures the producer of each queue. Nil means its defaults. RetryFor is
	// replaced: rows are retried by the table, where they outlive the process.
	Producer *producer.Config

	// Telemetry is the middleware of package middleware/otel, or nil.
	Telemetry handler.Middleware

	// Schedules make rows at their times.
	Schedules []Schedule

	// Retention is how long sent rows stay in the table. Zero means 24 hours; negative
	// keeps them for ever.
	Retention time.Duration

	// Logger logs failures to send, once a minute for each queue, outages, and the relay's
	// start and end. Nil means slog.Default().
	Logger *slog.Logger
}

// A Relay sends the due rows of a [Table] to their queues, makes the rows of schedules and
// removes old rows. It also sends messages that have expired (handler.Message.SetExpires):
// the queue's consumers decide about them. Any number of relays may run on one table. Make one with [NewRelay].
type Relay struct {
	t        *Table
	c        RelayConfig
	consumer *consumer.Consumer
	clocks   []*ticker

	mu     sync.Mutex
	queues map[string]*outlet
}

// NewRelay returns a relay of a table. It does no IO.
func NewRelay(t *Table, config *RelayConfig) (*Relay, error) {
	c := setting.Copy(config)
	if err := errors.Join(
		setting.Refuse(t == nil, "the table is nil"),
		setting.Refuse(c.Open == nil, "Open is nil: the relay cannot open queues"),
	); err != nil {
		return nil, fmt.Errorf("outbox: relay: %w", err)
	}
	c.Logger = invoke.Logger(c.Logger)
	if c.Retention == 0 {
		c.Retention = 24 * time.Hour
	}
	r := &Relay{t: t, c: c, queues: make(map[string]*outlet)}
	clocks, err := newTickers(t, c.Schedules, c.Logger)
	if err != nil {
		return nil, fmt.Errorf("outbox: relay: %w", err)
	}
	r.clocks = clocks
	source, err := t.source(c.Source)
	if err != nil {
		return nil, fmt.Errorf("outbox: relay: %w", err)
	}
	source.qualify = true
	source.damaged = func(ctx context.Context, row *row) {
		r.outlet(row.queue).report(ctx, c.Logger, row, row.attempts, row.damage)
	}
	stack, err := middleware.Standard(&middleware.Config{
		Logger: c.Logger, Telemetry: c.Telemetry,
		// The queue's consumers drop or dead-letter a message that has expired, and count it.
		Expiry: &expiry.Config{Now: func() time.Time { return time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }},
		Log:    &log.Config{Level: func(error) slog.Level { return slog.LevelDebug }},
		// A row is not at fault for its queue, so no error is permanent.
		Backoff: &backoff.Config{Min: time.Second, Max: 5 * time.Minute, Jitter: backoff.EqualJitter,
			Classifier: func(error) backoff.Class { return backoff.Transient }},
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: relay: %w", err)
	}
	cc := setting.Copy(c.Consumer)
	if cc.Concurrency == 0 {
		cc.Concurrency = 64
	}
	if cc.DrainTimeout == 0 {
		cc.DrainTimeout = 5 * time.Second
	}
	if cc.Logger == nil {
		cc.Logger = c.Logger
	}
	cc.Gates = append(stack.Gates(), cc.Gates...)
	if r.consumer, err = consumer.New(source, stack.Handler(handler.HandlerFunc(r.relay)), &cc); err != nil {
		return nil, fmt.Errorf("outbox: relay: %w", err)
	}
	return r, nil
}

// Run relays until ctx is done, drains, closes the queues and returns nil, or an error as
// [consumer.Consumer.Run] does. It returns an error at the start if the table does not
// exist or is of another version. Run blocks, and runs once.
func (r *Relay) Run(ctx context.Context) error {
	if err := r.t.Check(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil // it was stopped while it began
		}
		return errors.Join(err, r.consumer.Close())
	}
	aside, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.clean(aside) })
	for _, c := range r.clocks {
		wg.Go(func() { c.run(aside) })
	}
	err := r.consumer.Run(ctx)
	stop()
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.queues {
		err = errors.Join(err, o.close())
	}
	return err
}

// Health returns the state of the relay's consumer.
func (r *Relay) Health() consumer.Health { return r.consumer.Health() }

// Abort ends the grace period of a shutdown, as [consumer.Consumer.Abort] does.
func (r *Relay) Abort() { r.consumer.Abort() }

// relay sends one row to its queue.
func (r *Relay) relay(ctx context.Context, m *handler.Message) error {
	row, ok := m.Native().(*row)
	if !ok {
		return errors.New("outbox: not a row of an outbox")
	}
	o := r.outlet(row.queue)
	p, err := o.producer(ctx, r)
	if err == nil {
		copied := &handler.Message{Body: m.Body, Attributes: m.Attributes, Group: row.content.Group, DedupeID: m.DedupeID}
		err = p.Send(ctx, copied)
	}
	if err != nil && ctx.Err() == nil {
		o.report(ctx, r.c.Logger, row, m.Attempt, err)
		r.note(ctx, row, m.Attempt, err)
	}
	return err
}

// note writes the latest error of a row, and the number of the attempt, for operators. The
// consumer makes several attempts of one delivery. The row is retried either way.
func (r *Relay) note(ctx context.Context, row *row, attempt int, err error) {
	if e := r.t.note(ctx, row, attempt, err); e != nil && ctx.Err() == nil {
		r.c.Logger.LogAttrs(ctx, slog.LevelWarn, "the error of a row could not be written",
			slog.String("queue", row.queue), slog.String("id", row.id), slog.Any("error", e))
	}
}

// outlet returns the outlet to a queue.
func (r *Relay) outlet(queue string) *outlet {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.queues[queue]
	if o == nil {
		o = &outlet{queue: queue, turn: make(chan struct{}, 1)}
		r.queues[queue] = o
	}
	return o
}

// clean removes old rows, now and then.
func (r *Relay) clean(ctx context.Context) {
	if r.c.Retention < 0 {
		return
	}
	const most = 1000
	tick := time.NewTicker(min(max(r.c.Retention/10, 100*time.Millisecond), time.Minute))
	defer tick.Stop()
	for {
		for {
			asked, cancel := context.WithTimeout(ctx, patience)
			n, err := r.t.Cleanup(asked, r.c.Retention, most)
			cancel()
			if err != nil && ctx.Err() == nil {
				r.c.Logger.LogAttrs(ctx, slog.LevelWarn, "old rows of the outbox could not be removed",
					slog.String("table", r.t.name), slog.Any("error", err))
			}
			if err != nil || n < most {
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
