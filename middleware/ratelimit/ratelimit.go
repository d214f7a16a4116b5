package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
)

// ErrLimited marks the error of a message that is released because it is over
// its limit.
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
	store   *storegate.Gate
}

var _ handler.GateReason = (*Limiter)(nil)

// New returns a limit of max messages in any stretch of per. A nil config has the
// defaults.
func New(limit int, per time.Duration, config *Config) (*Limiter, error) {
	c, err := config.complete(limit, per)
	if err != nil {
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
	l.gate = gate{free: limit}
	l.store = storegate.New(storegate.Config{
		Name: fmt.Sprintf("the store of the rate limit %q", c.Name), Probe: l.probe, Timeout: c.StoreTimeout,
		Logger: c.Logger, Observer: c.Observer,
	})
	return l, nil
}

// Admit implements [handler.Gate]: as many as there are places in the window, as
// far as is known, or all if there is a Key; none while the store does not answer,
// unless FailOpen is set. It does not wait for the store.
func (l *Limiter) Admit(want int) (n int, reopened <-chan struct{}) {
	if !l.config.FailOpen {
		if n, reopened := l.store.Admit(want); n == 0 {
			return 0, reopened
		}
	}
	limit := l.max
	if l.config.Key != nil {
		limit = 0
	}
	return l.gate.admit(want, limit, l.per, l.batch)
}

// Reason implements [handler.GateReason].
func (l *Limiter) Reason() string {
	if reason := l.store.Reason(); reason != "" && !l.config.FailOpen {
		return reason
	}
	if l.config.Key == nil && l.gate.shut(l.per) {
		return l.reached.Error()
	}
	return ""
}

// Middleware holds next to the limit. Give it to handler.Chain as a method value.
func (l *Limiter) Middleware(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		key := l.key(m)
		if l.config.FailOpen {
			if !l.store.Open() {
				return next.Handle(ctx, m)
			}
		} else if wait, entered := l.store.Enter(ctx); !entered {
			return handler.Postpone(wait, l.store.Err())
		}
		now := time.Now()
		a, err := l.take(ctx, key, l.patience(m, now))
		switch {
		case err != nil && ctx.Err() != nil:
			return handler.Postpone(0, context.Cause(ctx))
		case err != nil:
			wait, own := l.store.Suspect(m.ID, err) // a window is many messages'
			switch err = fmt.Errorf("%s: the store failed: %w", l.config.Name, err); {
			case l.config.FailOpen:
				return next.Handle(ctx, m)
			case own:
				return handler.RetryAfter(wait, err)
			default:
				return handler.Postpone(wait, err)
			}
		}
		l.store.Fine(m.ID)
		l.gate.learn(a, now)
		if !a.Taken {
			return handler.Postpone(a.After, l.reached)
		}
		if a.After > 0 {
			if err := sleep.For(ctx, a.After); err != nil {
				return handler.Postpone(0, err)
			}
		}
		return next.Handle(ctx, m)
	})
}

// key names the window of a message.
func (l *Limiter) key(m *handler.Message) string {
	if l.config.Key == nil {
		return l.config.Name
	}
	return l.config.Name + ":" + l.config.Key(m)
}

func (l *Limiter) take(ctx context.Context, key string, wait time.Duration) (Answer, error) {
	r := Request{Key: key, Max: l.max, Per: l.per, Wait: wait, Batch: l.batch}
	if s, ok := l.config.Store.(*memory); ok {
		return s.Take(ctx, r)
	}
	return storegate.Call(ctx, l.config.StoreTimeout, func(ctx context.Context) (Answer, error) {
		return l.config.Store.Take(ctx, r)
	})
}

// probe takes a place in a separate window.
func (l *Limiter) probe(ctx context.Context) error {
	_, err := l.config.Store.Take(ctx, Request{Key: "probe of " + l.config.Name, Max: 1, Per: time.Second, Batch: 1})
	return err
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
