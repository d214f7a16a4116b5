package otel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-go/sluice/handler"
)

// Depth is how many messages a queue has. A negative number is not known, and
// not reported.
type Depth struct {
	Visible, InFlight, Delayed, DeadLetters int64
	OldestAge                               time.Duration
}

const (
	// depthAge is how long a depth is good for: several readers, and readers
	// that come often, cost the provider one question in that time.
	depthAge = 10 * time.Second
	// depthTimeout keeps a provider that does not answer from holding up a
	// scrape.
	depthTimeout = 5 * time.Second
)

// WatchDepth reports a queue's depth whenever metrics are collected, by asking
// ask, which is asked once in ten seconds at most and given five to answer. A
// failure leaves the depth out of that collection and is told to
// OpenTelemetry's error handler. The function that WatchDepth returns ends it.
func (t *Telemetry) WatchDepth(o handler.Origin, ask func(ctx context.Context) (Depth, error)) (stop func() error, err error) {
	depth, err1 := t.meter.Int64ObservableGauge("sluice.queue.depth", metric.WithUnit("{message}"),
		metric.WithDescription("Messages of the queue, by state."))
	age, err2 := t.meter.Float64ObservableGauge("sluice.queue.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest message of the queue."))
	dead, err3 := t.meter.Int64ObservableGauge("sluice.queue.dead_letters", metric.WithUnit("{message}"),
		metric.WithDescription("Messages in the dead-letter queue."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	l := newLabels(o)
	states := [...]metric.MeasurementOption{
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("visible"))...)),
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("in_flight"))...)),
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("delayed"))...)),
	}
	known := &cachedDepth{ask: ask}
	r, err := t.meter.RegisterCallback(func(ctx context.Context, out metric.Observer) error {
		d, err := known.get(ctx)
		if err != nil {
			return fmt.Errorf("depth of queue %q: %w", o.Queue, err)
		}
		for i, n := range [...]int64{d.Visible, d.InFlight, d.Delayed} {
			if n >= 0 {
				out.ObserveInt64(depth, n, states[i])
			}
		}
		if d.DeadLetters >= 0 {
			out.ObserveInt64(dead, d.DeadLetters, l.plain)
		}
		if d.OldestAge >= 0 {
			out.ObserveFloat64(age, d.OldestAge.Seconds(), l.plain)
		}
		return nil
	}, depth, age, dead)
	if err != nil {
		return nil, err
	}
	return r.Unregister, nil
}

type cachedDepth struct {
	ask func(context.Context) (Depth, error)

	mu    sync.Mutex
	asked time.Time
	depth Depth
	err   error
}

func (c *cachedDepth) get(ctx context.Context) (Depth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked.IsZero() && time.Since(c.asked) < depthAge {
		return c.depth, c.err
	}
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	c.depth, c.err = c.ask(ctx)
	c.asked = time.Now()
	return c.depth, c.err
}
