// Package timeout is the middleware that ends a handler's context after a time,
// so that a hung dependency delays one message and does not occupy a worker
// forever.
//
//	limit, err := timeout.New(30*time.Second, nil)
//	h := handler.Chain(charge, limit)
//
// The handler must obey its context. A handler that does not return is not
// abandoned: it keeps its message and its slot in the runtime, because a
// goroutine cannot be stopped and handling the message concurrently would be
// worse. The runtime's health report shows such handlers with their stacks.
//
// # The error
//
// A handler that returns in time, or with nil however late, is left alone: its
// work is done. If its error comes from the end of its time, [ErrTimeout] is
// wrapped around it. A verdict in it is unchanged.
//
// # Position
//
// Inside backoff, which delays the retry of a handler that timed out; outside,
// such a message would be retried immediately. Inside idempotency and ratelimit,
// whose own waiting would otherwise count as the handler's. It may change places
// with heartbeat, since both end when the handler returns.
package timeout

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// ErrTimeout is the cause with which a handler's context ends when its time is
// up. It is a context.DeadlineExceeded for errors.Is, and counts as transient.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string        { return "the handler's time is up" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Config has rarely needed settings. The zero Config is the same time for all.
type Config struct {
	// For returns the time for one message, zero for the one given to [New] and
	// a negative one for no limit. It is called concurrently, once a message.
	// Nil means the same time for all.
	For func(m *handler.Message) time.Duration
}

// New returns the middleware that gives each handler d, which must be above
// zero. A nil config has the defaults.
func New(d time.Duration, config *Config) (handler.Middleware, error) {
	if err := setting.Positive("the time", d); err != nil {
		return nil, fmt.Errorf("timeout: %w", err)
	}
	c := setting.Copy(config)
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			limit := d
			if c.For != nil {
				if own := c.For(m); own != 0 {
					limit = own
				}
			}
			if limit < 0 {
				return next.Handle(ctx, m)
			}
			ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
			defer cancel()
			return explain(ctx, limit, next.Handle(ctx, m))
		})
	}, nil
}

// explain says of a handler's error that it comes from the end of its time.
func explain(ctx context.Context, limit time.Duration, err error) error {
	if err == nil || context.Cause(ctx) != ErrTimeout || !invoke.Is(err, context.DeadlineExceeded) { //nolint:errorlint // ours, unwrapped
		return err
	}
	return fmt.Errorf("%w after %v: %w", ErrTimeout, limit, err)
}
