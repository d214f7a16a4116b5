package cli

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/log"
	"github.com/sluice-go/sluice/middleware/otel"
	"github.com/sluice-go/sluice/middleware/recoverer"
	"github.com/sluice-go/sluice/middleware/timeout"
)

// cleanupEvery is how often expired keys are removed from a SQL store.
const cleanupEvery = 10 * time.Minute

// A stack is what is around the handler of a run, in the order of package
// middleware, as far as the flags ask for it.
type stack struct {
	app     *app
	flags   *runFlags
	retries *provision.Retry // nil leaves the delay to the queue
	counts  *handler.Counter

	observers []handler.Observer
	outer     handler.Middleware // telemetry's
	gates     []handler.Gate
	closers   []func() error
}

// telemetry adds spans and metrics, where they go anywhere.
func (s *stack) telemetry(t *telemetry.Telemetry, c drivers.Capabilities, source drivers.Source) error {
	s.observers = append(s.observers, s.counts)
	if !t.Enabled {
		return nil
	}
	o, err := otel.New(&otel.Config{TracerProvider: t.TracerProvider, MeterProvider: t.MeterProvider})
	if err != nil {
		return err
	}
	s.outer = o.Middleware()
	s.observers = append(s.observers, o)
	if inspector, ok := source.(drivers.Inspector); ok {
		stop, err := o.WatchDepth(handler.Origin{Queue: c.Queue, System: c.System, Server: c.Server}, depthOf(inspector))
		if err != nil {
			return err
		}
		s.closers = append(s.closers, stop)
	}
	return nil
}

// Observe implements handler.Observer: it passes the event to all observers, for
// middleware that takes one.
func (s *stack) Observe(e handler.Event) {
	for _, o := range s.observers {
		o.Observe(e)
	}
}

// wrap puts the stack around h.
func (s *stack) wrap(ctx context.Context, h handler.Handler) (handler.Handler, error) {
	f := s.flags
	chain := []handler.Middleware{
		recoverer.New(&recoverer.Config{Logger: s.app.log}),
		s.outer,
		log.New(&log.Config{Logger: s.app.log}),
	}
	if f.idempotency != "" {
		m, err := s.idempotency(ctx)
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
		s.gates = handler.GatesOf(m)
	}
	if f.maxAttempts > 0 {
		chain = append(chain, maxAttempts(f.maxAttempts))
	}
	if s.retries != nil {
		m, err := backoff.New(&backoff.Config{Min: s.retries.Min, Max: s.retries.Max, Classifier: alwaysTransient})
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
	}
	if f.timeout > 0 {
		m, err := timeout.New(f.timeout, nil)
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
	}
	if f.heartbeat {
		m, err := heartbeat.New(nil)
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
	}
	return handler.Chain(h, chain...), nil
}

// alwaysTransient keeps to what exit statuses and answers mean: what they do not
// reject is retried, whatever the error looks like.
func alwaysTransient(error) backoff.Class { return backoff.Transient }

// maxAttempts rejects a message whose n-th delivery failed, whichever delay its
// retry would have had. A message that did not fail itself (its handling was cut
// short, its lease was lost, it was put off) is retried.
func maxAttempts(n int) handler.Middleware {
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			err := next.Handle(ctx, m)
			if err == nil || m.Attempt < n {
				return err
			}
			if v := invoke.VerdictOf(err); v.Action != handler.ActionRetry || v.Postponed || invoke.CutShort(ctx, err) {
				return err
			}
			return handler.Reject(handler.Exhausted(m.Attempt, n, err))
		})
	}
}

// idempotency opens the store of marks.
func (s *stack) idempotency(ctx context.Context) (handler.Middleware, error) {
	store, err := open.URL(ctx, s.flags.idempotency)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, store.Close)
	if store.SQL != nil {
		s.closers = append(s.closers, s.sweep(ctx, store.SQL))
	}
	return idempotency.New(store.Store, &idempotency.Config{StoreName: store.String(), Observer: s, Logger: s.app.log})
}

// sweep removes expired keys now and then, until the function that it returns is
// called.
func (s *stack) sweep(ctx context.Context, store *sqlstore.Store) func() error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(cleanupEvery)
		defer tick.Stop()
		for {
			const limit = 1000
			n, err := store.Cleanup(ctx, limit)
			if err != nil && ctx.Err() == nil {
				s.app.log.Warn("expired idempotency keys were not removed", "error", err)
			}
			if err == nil && n == limit {
				continue
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		return nil
	}
}

func (s *stack) close(err *error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		*err = errors.Join(*err, s.closers[i]())
	}
}
