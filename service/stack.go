package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/bulkhead"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

const (
	// stallMargin is how much longer than the timeout of its handlers a queue may make no
	// progress before health reports a stall.
	stallMargin = 30 * time.Second
	// stallBeating is how long it may be if handlers keep their lease and have no timeout.
	stallBeating = 15 * time.Minute
)

// A stack puts together what is around the handler of a queue: the configuration's
// parts, and the program's, which are given before. A part has one owner.
type stack struct {
	middleware.Config
	run   *run
	queue *config.Queue

	faults []error
	parts  []string      // what the log says of it
	store  *opened.Store // of idempotency keys, nil without
}

// newStack returns the stack of a queue with the program's parts in it.
func newStack(r *run, q *config.Queue) (*stack, error) {
	s := &stack{run: r, queue: q}
	if f := r.options.Middleware; f != nil {
		own, err := f(q)
		if err != nil {
			return nil, fmt.Errorf("queue %q: %w", q.Name, err)
		}
		s.Config = setting.Copy(own)
	}
	s.faults = append(s.faults,
		setting.Refuse(s.Logger != nil, "middleware.Config.Logger: set service.Options.Logger"),
		setting.Refuse(s.Telemetry != nil, "middleware.Config.Telemetry: set service.Options.Telemetry"))
	s.Logger = r.options.Logger
	e := setting.Copy(s.Expiry)
	if e.Observer == nil {
		e.Observer = r.observers
	}
	s.Expiry = &e
	if r.otel != nil {
		s.Telemetry = r.otel.Middleware()
	}
	return s, nil
}

// one notes a fault if the program has set what the configuration has too.
func (s *stack) one(set bool, field, key string) {
	if set {
		s.faults = append(s.faults, fmt.Errorf("the program sets middleware.Config.%s, and the configuration %s%s: set it in one place", field, key, s.run.where(s.queue, key)))
	}
}

func (s *stack) part(format string, args ...any) {
	s.parts = append(s.parts, fmt.Sprintf(format, args...))
}

// build adds the configuration's parts. It opens the idempotency store.
func (s *stack) build(ctx context.Context) (*middleware.Stack, error) {
	s.retry()
	if c := s.queue.Consumer; c != nil {
		if c.Timeout != 0 {
			s.one(s.Timeout != 0, "Timeout", "consumer.timeout")
			s.Timeout = c.Timeout
		}
		s.one(c.Heartbeat && s.NoHeartbeat, "NoHeartbeat", "consumer.heartbeat")
		s.one(!c.Heartbeat && s.Heartbeat != nil, "Heartbeat", "consumer.heartbeat")
		s.NoHeartbeat = !c.Heartbeat
		s.limits(c)
		if c.Idempotency != nil {
			s.one(s.Idempotency != nil, "Idempotency", "consumer.idempotency")
			if err := s.idempotency(ctx, c.Idempotency); err != nil {
				return nil, err
			}
		}
	}
	if s.Timeout > 0 {
		s.part("timeout=%v", s.Timeout)
	}
	if !s.NoHeartbeat {
		s.part("heartbeat")
	}
	built, err := middleware.Standard(&s.Config)
	if err := errors.Join(append(s.faults, err)...); err != nil {
		return nil, usage("queue %q: %w", s.queue.Name, err)
	}
	return built, nil
}

// retry adds the delays of retries and the limit of attempts.
func (s *stack) retry() {
	b := setting.Copy(s.Backoff)
	r := s.queue.Retries()
	if r.Min != 0 || r.Max != 0 {
		key := "retry"
		if c := s.queue.Consumer; c != nil && c.Retry != nil && (c.Retry.Min != 0 || c.Retry.Max != 0) {
			key = "consumer.retry"
		}
		s.one(b.Policy != nil || b.Min != 0 || b.Max != 0 || b.Native, "Backoff", key)
		b.Min, b.Max = r.Min, r.Max
		s.part("retry=%v..%v", r.Min, r.Max)
	}
	if r.MaxAttempts != 0 {
		s.one(b.MaxAttempts != 0, "Backoff.MaxAttempts", "consumer.retry.max_attempts")
		b.MaxAttempts = r.MaxAttempts
	}
	if b.MaxAttempts > 0 {
		s.part("max_attempts=%d", b.MaxAttempts)
	}
	s.Backoff = &b
}

// limits adds what holds messages back.
func (s *stack) limits(c *config.Consumer) {
	name := s.queue.Name
	if b := c.Breaker; b != nil {
		one, err := breaker.New(&breaker.Config{Name: name, Window: b.Window, MinCount: b.MinCount, Ratio: b.Ratio, OpenFor: b.OpenFor, Logger: s.Logger})
		s.faults = append(s.faults, err)
		s.Breakers = append([]*breaker.Breaker{one}, s.Breakers...)
		s.part("breaker")
	}
	if b := c.Bulkhead; b != nil {
		s.one(s.Bulkhead != nil, "Bulkhead", "consumer.bulkhead")
		one, err := bulkhead.New(b.Limit, b.Key.Of, &bulkhead.Config{Name: "bulkhead of " + name})
		s.faults = append(s.faults, err)
		s.Bulkhead = one
		s.part("bulkhead=%d by %s", b.Limit, b.Key)
	}
	if l := c.RateLimit; l != nil {
		lc := &ratelimit.Config{Name: "rate limit of " + name, Logger: s.Logger, Observer: s.run.observers}
		text := l.Rate.String()
		if l.Key != "" {
			lc.Key = l.Key.Of
			text += " by " + string(l.Key)
		}
		one, err := ratelimit.New(l.Rate.N, l.Rate.Per, lc)
		s.faults = append(s.faults, err)
		s.RateLimits = append([]*ratelimit.Limiter{one}, s.RateLimits...)
		s.part("rate_limit=%s", text)
	}
}

// idempotency opens the store of keys and adds the middleware over it.
func (s *stack) idempotency(ctx context.Context, c *config.Idempotency) error {
	store, err := s.run.stores.get(ctx, c.Store)
	if err != nil {
		return fmt.Errorf("queue %q: %w", s.queue.Name, err)
	}
	s.store = store
	if s.run.otel != nil {
		s.run.otel.ExpectStore("idempotency store " + store.String()) // as its gate is called
	}
	ic := idempotency.Config{DoneTTL: c.TTL, StoreName: store.String(), Observer: s.run.observers, Logger: s.Logger}
	if c.Key != "" {
		ic.Key = c.Key.Of
	}
	form := ""
	switch {
	case !c.Transactional:
		s.Idempotency, err = idempotency.New(store.Store, &ic)
	case store.SQL == nil:
		return usage("queue %q: consumer.idempotency.transactional%s needs a store in a SQL database, and %s is none",
			s.queue.Name, s.run.where(s.queue, "consumer.idempotency.transactional"), store)
	default:
		form = ", transactional"
		s.Idempotency, err = sqlstore.Transactional(store.SQL, &sqlstore.TxConfig{Config: ic})
	}
	s.faults = append(s.faults, err)
	s.part("idempotency=%s%s", store, form)
	return nil
}

// valve returns what pauses and limits the queue, and what sets it; nil if nothing does.
func (s *stack) valve(ctx context.Context) (*control.Valve, *controller, error) {
	url := ""
	if s.store != nil {
		url = s.queue.Consumer.Idempotency.Store
	}
	v, c, err := s.run.controls.valve(ctx, s.queue.Name, url, s.store)
	if err != nil {
		return nil, nil, fmt.Errorf("queue %q: %w", s.queue.Name, err)
	}
	if c != nil {
		s.part("control=%s", c.store)
	}
	return v, c, nil
}

// stallAfter is how long the queue may make no progress: zero is the length of a lease.
func (s *stack) stallAfter() time.Duration {
	var d time.Duration
	if c := s.queue.Consumer; c != nil {
		d = 2 * c.P99
	}
	switch {
	case s.NoHeartbeat:
		return 0
	case s.Timeout > 0:
		return max(d, s.Timeout+stallMargin)
	default:
		return max(d, stallBeating)
	}
}

// String lists the parts that the configuration or the program asked for.
func (s *stack) String() string { return strings.Join(s.parts, ", ") }

// attempts returns the limit of attempts that the stack has of its own, zero if none.
func (s *stack) attempts() int {
	if s.Backoff == nil {
		return 0
	}
	return s.Backoff.MaxAttempts
}
