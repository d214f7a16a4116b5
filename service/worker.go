package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/otel"
)

// A worker is a queue with its handler, and its source while the service runs.
type worker struct {
	queue   *config.Queue
	handler handler.Handler

	opened     consumer.Weighted
	stallAfter time.Duration
	valve      *control.Valve // nil if operators have no control
	controller *controller    // of valve
	closers    []func() error
}

// open opens the queue and makes the middleware around its handler. discard closes the
// source if no consumer has it.
func (w *worker) open(ctx context.Context, r *run) error {
	stack, err := newStack(r, w.queue)
	if err != nil {
		return err
	}
	built, err := stack.build(ctx)
	if err != nil {
		return err
	}
	if w.valve, w.controller, err = stack.valve(ctx); err != nil {
		return err
	}
	source, err := w.queue.OpenSource(ctx, r.options.Mux, r.options.Logger)
	if drivers.CodeOf(err) == drivers.Invalid { // the URL is wrong, nothing else
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	w.opened.Source = source
	caps := source.Capabilities()
	name := w.name()
	switch n := stack.attempts(); {
	case n > 0 && !caps.AttemptKnown:
		return usage("queue %q: a limit of %d attempts, but the queue does not count attempts (on Pub/Sub, give the subscription a dead-letter policy)", name, n)
	case n > caps.MaxAttempts && caps.MaxAttempts > 0:
		r.options.Logger.Warn("the queue's own limit of attempts is lower than the handlers', and is what counts", "queue", name,
			"limit", caps.MaxAttempts, "max_attempts", n)
	}
	if err := w.watch(r, source); err != nil {
		return err
	}
	w.stallAfter = stack.stallAfter()
	w.opened.Gates = built.Gates()
	switch g := w.handler.(type) {
	case interface{ Gate() handler.Gate }:
		w.opened.Gates = append(w.opened.Gates, g.Gate())
	case interface{ Gates() []handler.Gate }:
		w.opened.Gates = append(w.opened.Gates, g.Gates()...)
	}
	w.opened.Handler = built.Handler(w.handler)
	if w.valve != nil {
		w.opened.Handler = w.valve.Middleware(w.opened.Handler)
		w.opened.Gates = append([]handler.Gate{w.valve}, w.opened.Gates...)
	}
	attributes := []any{"queue", name, "concurrency", w.concurrency()}
	if c := w.queue.Consumer; c != nil && c.Group != "" {
		w.opened.Weight, w.opened.Priority = c.Weight, c.Priority
		attributes = append(attributes, "group", c.Group)
		if c.Priority > 0 {
			attributes = append(attributes, "priority", c.Priority)
		} else {
			attributes = append(attributes, "weight", max(c.Weight, 1))
		}
	}
	r.options.Logger.Info("handling messages", append(attributes, "with", stack.String())...)
	return nil
}

// name returns the queue's name in logs: that of a queue known by its URL only is the
// provider's.
func (w *worker) name() string {
	if own := w.opened.Source.Capabilities().Queue; !w.queue.Configured && own != "" {
		return own
	}
	return w.queue.Name
}

// concurrency returns how many messages are handled concurrently, of a queue in a group
// those of all its queues.
func (w *worker) concurrency() int {
	if own := w.queue.Consumer; own != nil && own.Concurrency != 0 {
		return own.Concurrency
	}
	return consumer.DefaultConcurrency
}

// watch reports the queue's depth and its control to telemetry.
func (w *worker) watch(r *run, source drivers.Source) error {
	if r.otel == nil {
		return nil
	}
	from := origin(source.Capabilities())
	r.otel.Expect(from)
	stop, err := WatchDepth(r.otel, source)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, stop)
	if w.valve == nil {
		return nil
	}
	stop, err = r.otel.WatchControl(from, func() otel.Control {
		s := w.valve.State()
		c := otel.Control{Paused: s.Paused, Concurrency: s.Concurrency}
		if s.Rate > 0 {
			c.Rate = float64(s.Rate) / s.Per.Seconds()
		}
		return c
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, stop)
	return nil
}

// note adds to the queue's health what operators ask of it.
func (w *worker) note(q *consumer.QueueHealth) {
	if w.valve == nil {
		return
	}
	s := w.valve.State()
	if s.Paused { // the consumer learns of it before its next receive
		q.Paused, q.PausedBy = true, w.valve.Reason()
	}
	for _, note := range []string{s.String(), w.controller.trouble()} {
		if note != "" {
			q.Notes = append(q.Notes, note)
		}
	}
}

// close gives back what open took, beside the source.
func (w *worker) close() error {
	var faults []error
	for _, f := range slices.Backward(w.closers) {
		faults = append(faults, f())
	}
	return errors.Join(faults...)
}
