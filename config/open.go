package config

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
)

// OpenSource opens a queue for receiving, with the driver of mux that its URL
// names. A nil logger discards what the driver finds odd.
func (q *Queue) OpenSource(ctx context.Context, mux *drivers.Mux, log *slog.Logger) (drivers.Source, error) {
	if q.Source == "" {
		return nil, q.lacks("receiving", "source")
	}
	u, err := q.withSpec(mux, q.Source)
	if err != nil {
		return nil, err
	}
	return mux.OpenSource(ctx, u, q.options(log))
}

// OpenSink opens a queue for sending, with the driver of mux that its URL names.
// A nil logger discards what the driver finds odd.
func (q *Queue) OpenSink(ctx context.Context, mux *drivers.Mux, log *slog.Logger) (drivers.Sink, error) {
	if q.Sink == "" {
		return nil, q.lacks("sending", "sink")
	}
	u, err := q.withSpec(mux, q.Sink)
	if err != nil {
		return nil, err
	}
	return mux.OpenSink(ctx, u, q.options(log))
}

// withSpec returns the URL that makes the queue as configured when it is opened,
// if its driver makes queues so. Any other URL is returned as it is.
func (q *Queue) withSpec(mux *drivers.Mux, rawURL string) (string, error) {
	opener, u, err := mux.Opener(rawURL)
	if err != nil {
		return rawURL, nil //nolint:nilerr // opening the URL reports it
	}
	maker, ok := opener.(provision.SpecOpener)
	if !ok || !q.Configured {
		return rawURL, nil
	}
	if u, err = maker.WithSpec(u, &q.Spec); err != nil {
		return "", err
	}
	return u.String(), nil
}

func (q *Queue) lacks(what, key string) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: q.Name, Op: "open", Err: fmt.Errorf("the configuration has no URL for %s", what),
		Remedy: fmt.Sprintf("set queues.%s.%s or queues.%s.url", q.Name, key, q.Name)}
}

func (q *Queue) options(log *slog.Logger) *drivers.Options {
	o := &drivers.Options{Logger: log}
	if d := q.Spec.DeadLetter; d != nil {
		o.DeadLetter = d.Name
	}
	return o
}

// OpenSource opens a queue by name or URL for receiving, with the driver of mux
// that its URL names.
func (c *Config) OpenSource(ctx context.Context, mux *drivers.Mux, nameOrURL string) (drivers.Source, error) {
	q, err := c.Queue(nameOrURL)
	if err != nil {
		return nil, err
	}
	return q.OpenSource(ctx, mux, nil)
}

// OpenSink opens a queue by name or URL for sending, with the driver of mux that
// its URL names.
func (c *Config) OpenSink(ctx context.Context, mux *drivers.Mux, nameOrURL string) (drivers.Sink, error) {
	q, err := c.Queue(nameOrURL)
	if err != nil {
		return nil, err
	}
	return q.OpenSink(ctx, mux, nil)
}

// Consumer returns a consumer that runs h on a queue, by name or URL. If the
// configuration has a retry section for the queue, h is wrapped in the backoff
// middleware with its delays; verdicts that h gives itself pass through it. A
// nil cc has the consumer's defaults. The consumer owns the source: Run closes
// it.
func (c *Config) Consumer(ctx context.Context, mux *drivers.Mux, nameOrURL string, h handler.Handler, cc *consumer.Config) (*consumer.Consumer, error) {
	q, err := c.Queue(nameOrURL)
	if err != nil {
		return nil, err
	}
	if r := q.Spec.Retry; r != nil {
		retries, err := backoff.New(&backoff.Config{Min: r.Min, Max: r.Max})
		if err != nil {
			return nil, fmt.Errorf("queue %q: %w", q.Name, err)
		}
		h = handler.Chain(h, retries)
	}
	var log *slog.Logger
	if cc != nil {
		log = cc.Logger
	}
	source, err := q.OpenSource(ctx, mux, log)
	if err != nil {
		return nil, err
	}
	run, err := consumer.New(source, h, cc)
	if err != nil {
		_ = source.Close() // nothing was received; the other error is the one to return
		return nil, err
	}
	return run, nil
}
