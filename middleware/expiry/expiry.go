// Package expiry is the middleware that drops a message once the time has passed that its
// sender set with handler.Message.SetExpires.
//
//	h := handler.Chain(charge, expiry.New(nil))
//
// It can dead-letter the message instead. The error wraps [ErrExpired]. In both cases the
// message is counted as handler.EventExpired besides its verdict, and package log writes it.
// A message without the time, or whose attribute is not a time, is handled.
//
// The local clock decides. A handler that has begun is not ended: package timeout does
// that. A message whose retry comes after its time is not tried again, although an
// earlier attempt may have done a part of the work.
//
// A dead letter keeps its time. When it is redriven it has still expired: redrive by
// filters, or send it anew.
//
// # Position
//
// Outside breaker, ratelimit and idempotency, so that a message that is not handled takes
// no token and claims nothing. Inside log and otel, which write the verdict. Package
// middleware's Standard has it there.
package expiry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

// ErrExpired is in the error of a message past its time. Find it with errors.Is.
var ErrExpired = errors.New("the message has expired")

// Config configures the middleware. The zero Config drops expired messages.
type Config struct {
	// DeadLetter rejects expired messages to the dead-letter queue instead of dropping
	// them. On a queue without one they are retried, as all rejected messages.
	DeadLetter bool

	// Observer, if not nil, receives handler.EventExpired. Give it the runtime's
	// observers, such as a handler.Counter or package otel's.
	Observer handler.Observer

	// Now is the clock. It is called concurrently. Nil means time.Now.
	Now func() time.Time
}

// New returns the middleware. A nil config has the defaults.
func New(config *Config) handler.Middleware {
	c := setting.Copy(config)
	if c.Now == nil {
		c.Now = time.Now
	}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			at, ok := m.Expires()
			if !ok {
				return next.Handle(ctx, m)
			}
			late := c.Now().Sub(at)
			if late < 0 {
				return next.Handle(ctx, m)
			}
			return c.expired(ctx, m, late)
		})
	}
}

// expired reports a message that has expired and returns its verdict.
func (c *Config) expired(ctx context.Context, m *handler.Message, late time.Duration) error {
	unhandled.Note(ctx)
	err := fmt.Errorf("%w %v ago", ErrExpired, late.Round(time.Millisecond))
	if c.Observer != nil {
		origin := m.Origin()
		_ = invoke.DoApart(func() { // it has expired, whatever the observer does
			c.Observer.Observe(handler.Event{Kind: handler.EventExpired, Origin: &origin, Message: m, Err: err})
		})
	}
	if c.DeadLetter {
		return handler.Reject(err)
	}
	return handler.Drop(err)
}
