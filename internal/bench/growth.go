package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	embeddedqueue "github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// The cases whose rows are charts; the number comes after the last slash.
const (
	byConcurrency = "concurrency/"
	byBacklog     = "backlog/"
)

// byNoop are the cases of handlers that do nothing, which have no chart.
const byNoop = "noop/"

// moreTimes multiplies the runs of cases whose runs take about a second: what else the machine
// and a server do makes some of them twice as long as others.
const moreTimes = 3

// concurrencyCases are the cost of a message by how many are handled at the same time,
// with handlers that wait for a millisecond.
func concurrencyCases(top int) []experiment {
	var xs []experiment
	for n := 1; n <= top; n *= 4 {
		xs = append(xs, experiment{
			id: fmt.Sprint(byConcurrency, n), title: fmt.Sprintf("Handlers of 1 ms, concurrency %d", n), runs: 1,
			peers: []peer{
				{sluice, func(ctx context.Context, e *env) (sample, error) {
					return consumeTap(ctx, min(e.sizes.local, 1000*n), n, time.Millisecond)
				}},
				{"gocloud mempubsub", func(ctx context.Context, e *env) (sample, error) {
					return consumeMempubsub(ctx, min(e.sizes.local/4, 1000*n), n, time.Millisecond)
				}},
			},
		})
	}
	for n := 1; n <= top; n *= 4 {
		xs = append(xs, experiment{
			id: fmt.Sprint(byNoop, n), title: fmt.Sprintf("The runtime alone, handlers that do nothing, concurrency %d", n), rounds: byNoop, times: moreTimes,
			peers: []peer{{sluice, func(ctx context.Context, e *env) (sample, error) {
				return consumeTap(ctx, e.sizes.local, n, 0)
			}}},
		})
	}
	return xs
}

// backlogCases are the cost of a message by how many wait behind it.
func backlogCases(most int) []experiment {
	var xs []experiment
	m, s := &store{name: "mem"}, &store{name: "sqlite"}
	for n := 1000; n <= most; n *= 10 {
		xs = append(xs, experiment{
			id: fmt.Sprint(byBacklog, n), title: fmt.Sprintf("Consume from a backlog of %d", n), times: moreTimes,
			peers: []peer{
				{sluice + ", mem", func(ctx context.Context, e *env) (sample, error) { return m.consume(ctx, e, n) }},
				{sluice + ", sqlite", func(ctx context.Context, e *env) (sample, error) { return s.consume(ctx, e, n) }},
			},
		})
	}
	return xs
}

// A store is a queue that grows from case to case.
type store struct {
	name   string
	sink   drivers.Sink
	source func(ctx context.Context) (drivers.Source, error)
	bulk   func(ctx context.Context, n int) error
	warm   bool // messages were consumed before
}

func (s *store) open(ctx context.Context, e *env) error {
	if s.sink != nil {
		return nil
	}
	var err error
	if s.name == "mem" {
		o := new(mem.Opener)
		s.source = func(ctx context.Context) (drivers.Source, error) { return o.Source(ctx, "bench", nil) }
		s.bulk = func(ctx context.Context, n int) error { return fillSink(ctx, s.sink, n) }
		s.sink, err = o.Sink(ctx, "bench", nil)
		return err
	}
	path := filepath.Join(e.dir, "bench.db")
	o := new(sqlite.Opener)
	s.source = func(ctx context.Context) (drivers.Source, error) { return o.Source(ctx, path, "bench", nil) }
	if s.sink, err = o.Sink(ctx, path, "bench", nil); err != nil {
		return err
	}
	e.closers = append(e.closers, s.sink.Close)
	// In transactions of a thousand: a million messages by tens would take
	// longer than everything else.
	s.bulk = func(ctx context.Context, n int) error {
		engine, err := sqlitequeue.Open(ctx, path, nil)
		if err != nil {
			return err
		}
		body := make([]byte, bodySize)
		for n > 0 && err == nil {
			ms := make([]embeddedqueue.Message, min(n, 1000))
			for i := range ms {
				ms[i].Body = body
			}
			_, err = engine.Send(ctx, "bench", ms)
			n -= len(ms)
		}
		return errors.Join(err, engine.Close())
	}
	return nil
}

// consume fills the queue and measures the consuming of some messages while the
// backlog is behind them. The first measurement is thrown away: it has the heap's
// growth in it, which the system makes page by page.
func (s *store) consume(ctx context.Context, e *env, backlog int) (sample, error) {
	if !s.warm {
		s.warm = true
		if _, err := s.measure(ctx, e, backlog); err != nil {
			return nil, err
		}
	}
	return s.measure(ctx, e, backlog)
}

func (s *store) measure(ctx context.Context, e *env, backlog int) (sample, error) {
	if err := s.open(ctx, e); err != nil {
		return nil, err
	}
	source, err := s.source(ctx)
	if err != nil {
		return nil, err
	}
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return nil, errors.New("the source does not count")
	}
	depth, err := inspector.Depth(ctx)
	if err != nil {
		return nil, err
	}
	n := e.sizes.messages / 2
	if s.name == "mem" {
		n = e.sizes.local / 4
	}
	if err := s.bulk(ctx, backlog+n-int(depth.Visible+depth.InFlight+depth.Delayed)); err != nil {
		return nil, err
	}
	// The messages allocate less than a large backlog and more than a small one: the
	// collector would run during the measurement for small ones only.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	return measureSluice(ctx, source, nil, n, 32, 0)
}
