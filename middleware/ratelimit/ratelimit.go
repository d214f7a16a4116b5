package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// ErrLimited is in the error with which a message is given back that is over its
// limit.
var ErrLimited = errors.New("rate limit reached")

// A Limiter is a limit: a [handler.Gate], and its Middleware method is a
// [handler.Middleware]. It is safe for concurrent use, and one Limiter may serve
// several consumers.
type Limiter struct {
	config  Config
	max     int
	per     time.Duration
	batch   int
	reached error
	gate    gate
}

var _ handler.Gate = (*Limiter)(nil)

// New returns a limit of max messages in any stretch of per. A nil config has the
// defaults.
func New(limit int, per time.Duration, config *Config) (*Limiter, error) {
	c := config.withDefaults()
	if err := c.validate(limit, per); err != nil {
		return nil, fmt.Errorf("rate limit %q: %w", c.Name, err)
	}
	l := &Limiter{
		config: c, max: limit, per: per,
		// Receiving starts again when a few places are free, not with the first:
		// the places that then go together come free together from then on, so
		// this costs one short wait in all and saves most of the receives.
		batch:   min(max(limit/4, 1), 10),
		reached: fmt.Errorf("%s: %w (%d in %v)", c.Name, ErrLimited, limit, per),
	}
	l.gate = gate{name: c.Name, logger: c.Logger, free: limit}
	return l, nil
}

// Admit implements [handler.Gate]: as many as there are places in the window, as
// far as is known, or all where there is a Key. It never asks the store.
func (l *Limiter) Admit(want int) (n int, reopened <-chan struct{}) {
	limit := l.max
	if l.config.Key != nil {
		limit = 0
	}
	return l.gate.admit(want, limit, l.per, l.batch)
}

// Middleware holds next to the limit. Give it to handler.Chain as a method value.
func (l *Limiter) Middleware(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		now := time.Now()
		a, err := l.take(ctx, m, now)
		switch {
		case err != nil && ctx.Err() != nil:
			return handler.Postpone(0, context.Cause(ctx))
		case err != nil:
			pause := l.gate.fail(err, l.config.FailOpen)
			if !l.config.FailOpen {
				return handler.Postpone(pause, fmt.Errorf("%s: the store failed: %w", l.config.Name, err))
			}
			return next.Handle(ctx, m)
		}
		l.gate.learn(a, now)
		if !a.Taken {
			return handler.Postpone(a.After, l.reached)
		}
		if a.After > 0 {
			if err := wait(ctx, a.After); err != nil {
				return handler.Postpone(0, err)
			}
		}
		return next.Handle(ctx, m)
	})
}

func (l *Limiter) take(ctx context.Context, m *handler.Message, now time.Time) (Answer, error) {
	r := Request{Key: l.config.Name, Max: l.max, Per: l.per, Wait: l.patience(m, now), Batch: l.batch}
	if l.config.Key != nil {
		r.Key += ":" + l.config.Key(m)
	}
	if s, ok := l.config.Store.(*Memory); ok {
		return s.Take(ctx, r)
	}
	ctx, cancel := context.WithTimeout(ctx, l.config.StoreTimeout)
	defer cancel()
	return l.config.Store.Take(ctx, r)
}

// patience is how long a message may wait for its place.
func (l *Limiter) patience(m *handler.Message, now time.Time) time.Duration {
	d := l.config.MaxWait
	if d == 0 {
		return 0
	}
	if deadline := m.Lease().Deadline(); !deadline.IsZero() {
		d = min(d, max(deadline.Sub(now)/2, 0))
	}
	return d
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
