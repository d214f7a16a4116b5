package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
	"github.com/sluice-go/sluice/outbox/pgxtx"
)

// The names of the cases and of the peers that targets name.
const (
	enqueueCase     = "outbox-enqueue"
	relayCase       = "outbox-relay"
	latencyCase     = "outbox-latency"
	outboxPostgres  = sluice + ", outbox on PostgreSQL"
	outboxSQLite    = sluice + ", outbox on SQLite"
	outboxNotified  = sluice + ", outbox on PostgreSQL, NOTIFY"
	riverOnPostgres = "River on PostgreSQL"
	plainPostgres   = "the transaction alone"
)

// outboxCallers is how many goroutines enqueue.
const outboxCallers = 16

// outboxCases are what an outbox costs its transaction, how fast a relay empties it, and how
// long a committed message takes to its queue. The queue is a sink that counts, so that the
// table is all that is measured.
func outboxCases() []experiment {
	return []experiment{
		{
			id: enqueueCase, title: fmt.Sprintf("Enqueue in a transaction that writes a row too, PostgreSQL, synced, %d goroutines", outboxCallers),
			peers: []peer{{outboxPostgres, enqueueOutbox}, {riverOnPostgres, enqueueRiver}, {plainPostgres, enqueueNothing}},
		},
		{
			id: relayCase, title: "Relay committed messages, written",
			peers: []peer{{outboxPostgres, relayPostgres}, {outboxSQLite, relaySQLite}, {riverOnPostgres + ", 64 no-op workers", relayRiver}},
		},
		{
			id: latencyCase, title: "From the commit of one message to its queue",
			peers: []peer{{outboxPostgres, relayLatency(false)}, {outboxNotified, relayLatency(true)}},
		},
	}
}

// A countingSink takes messages as a queue that is never the bottleneck. at, if not nil, gets
// the time of each.
type countingSink struct {
	t  *tally
	at chan<- time.Time
}

// Send counts the messages.
func (s *countingSink) Send(_ context.Context, ms []*handler.Message) []error {
	for _, m := range ms {
		m.ID = strconv.FormatInt(s.t.n.Load(), 10)
		if s.at != nil {
			s.at <- time.Now()
		}
		s.t.add()
	}
	return nil
}

// Capabilities returns those of a queue with batches of ten.
func (*countingSink) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Queue: "bench", System: "bench", MaxSend: 10}
}

// Close does nothing.
func (*countingSink) Close() error { return nil }

// A postgresOutbox is an outbox in a database of its own, in which River has its tables too.
type postgresOutbox struct {
	*riverDisk
	table *outbox.Table
}

func openPostgresOutbox(ctx context.Context, e *env, d durability) (*postgresOutbox, error) {
	q, err := openRiver(ctx, e, d)
	if err != nil {
		return nil, err
	}
	r, ok := q.(*riverDisk)
	if !ok {
		return nil, errors.Join(errors.New("not a database"), q.close())
	}
	db := stdlib.OpenDBFromPool(r.pool)
	db.SetMaxIdleConns(0) // the pool has them
	o := &postgresOutbox{riverDisk: r}
	if o.table, err = outbox.New(db, outbox.PostgreSQL, nil); err == nil {
		err = o.table.Migrate(ctx)
	}
	if err == nil {
		_, err = r.pool.Exec(ctx, "CREATE TABLE orders (id bigint)")
	}
	if err != nil {
		return nil, errors.Join(err, q.close())
	}
	return o, nil
}

// enqueue measures transactions that write a row of the program's and do f.
func enqueue(ctx context.Context, e *env, f func(o *postgresOutbox, tx pgx.Tx, body []byte) error) (s sample, err error) {
	o, err := openPostgresOutbox(ctx, e, synced)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	n, body := diskMessages(e, outboxCallers), make([]byte, bodySize)
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	if err := split(outboxCallers, n, func(n int) error {
		for i := range n {
			if err := pgx.BeginFunc(ctx, o.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES ($1)", i); err != nil {
					return err
				}
				return f(o, tx, body)
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return m.end(n)
}

func enqueueOutbox(ctx context.Context, e *env) (sample, error) {
	return enqueue(ctx, e, func(o *postgresOutbox, tx pgx.Tx, body []byte) error {
		return o.table.Send(ctx, pgxtx.Tx(tx), "bench", &handler.Message{Body: body})
	})
}

func enqueueRiver(ctx context.Context, e *env) (sample, error) {
	return enqueue(ctx, e, func(o *postgresOutbox, tx pgx.Tx, body []byte) error {
		_, err := o.sender.InsertTx(ctx, tx, riverJob{Body: body}, nil)
		return err
	})
}

func enqueueNothing(ctx context.Context, e *env) (sample, error) {
	return enqueue(ctx, e, func(*postgresOutbox, pgx.Tx, []byte) error { return nil })
}

// relay runs a relay of a table while f runs.
func relay(ctx context.Context, table *outbox.Table, sink drivers.Sink, source *outbox.SourceConfig, f func() error) error {
	r, err := outbox.NewRelay(table, &outbox.RelayConfig{
		Open:     func(context.Context, string) (drivers.Sink, error) { return sink, nil },
		Source:   source,
		Consumer: &consumer.Config{Logger: quiet()}, Logger: quiet(),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	err = f()
	stop()
	return errors.Join(err, <-ended)
}

// relayMessages measures the relaying of committed messages.
func relayMessages(ctx context.Context, e *env, table *outbox.Table) (s sample, err error) {
	n, body := max(e.sizes.messages, 1000), make([]byte, bodySize)
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = &handler.Message{Body: body}
	}
	if err := table.Send(ctx, nil, "bench", ms...); err != nil {
		return nil, err
	}
	t := newTally(n)
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	err = relay(ctx, table, &countingSink{t: t}, nil, func() error {
		if err := t.wait(ctx); err != nil {
			return err
		}
		s, err = m.end(n)
		return err
	})
	return s, err
}

func relayPostgres(ctx context.Context, e *env) (s sample, err error) {
	o, err := openPostgresOutbox(ctx, e, written)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	return relayMessages(ctx, e, o.table)
}

func relaySQLite(ctx context.Context, e *env) (s sample, err error) {
	table, db, err := opentable.URL(ctx, "sqlite://"+filepath.ToSlash(filepath.Join(e.dir, e.name("outbox")+".db")))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := table.Migrate(ctx); err != nil {
		return nil, err
	}
	return relayMessages(ctx, e, table)
}

func relayRiver(ctx context.Context, e *env) (s sample, err error) {
	q, err := openRiver(ctx, e, written)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	n := max(e.sizes.messages, 1000)
	if err := q.fill(ctx, n); err != nil {
		return nil, err
	}
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	if err := q.consume(ctx, n, 64); err != nil {
		return nil, err
	}
	return m.end(n)
}

// relayLatency measures the time from a commit to the sink, one message after the other. The
// relay polls every 200 milliseconds, and looks when it is notified if notify is true.
func relayLatency(notify bool) func(ctx context.Context, e *env) (sample, error) {
	return func(ctx context.Context, e *env) (s sample, err error) {
		o, err := openPostgresOutbox(ctx, e, synced)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, o.close()) }()
		listening, stop := context.WithCancel(ctx)
		defer stop()
		source := &outbox.SourceConfig{}
		if notify {
			source.Wake = pgxtx.Listen(listening, o.pool)
		}
		n := max(e.sizes.messages/200, 10)
		at, took := make(chan time.Time, 1), new(spread)
		err = relay(ctx, o.table, &countingSink{t: newTally(n + 1), at: at}, source, func() error {
			for range n {
				work(rand.N(200 * time.Millisecond)) // not always right after the relay has looked
				sent, err := commitOne(ctx, o.pool, o.table, notify)
				if err != nil {
					return err
				}
				select {
				case t := <-at:
					took.add(max(t.Sub(sent), 0))
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		return sample{metricLatency50: took.quantile(0.5), metricLatency99: took.quantile(0.99)}, err
	}
}

// commitOne commits a message, and returns when it did.
func commitOne(ctx context.Context, pool *pgxpool.Pool, table *outbox.Table, notify bool) (time.Time, error) {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := table.Send(ctx, pgxtx.Tx(tx), "bench", &handler.Message{Body: make([]byte, bodySize)}); err != nil || !notify {
			return err
		}
		return pgxtx.Notify(ctx, pgxtx.Tx(tx))
	})
	return time.Now(), err
}
