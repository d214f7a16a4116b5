// Package recoverer is the middleware that turns a handler's panic into an
// error, a *handler.PanicError, so that what stands outside it sees a failure
// like any other: a span gets its status, a breaker counts it, backoff delays the
// retry. (The package is not called recover because that would hide the
// built-in function wherever it is imported.)
//
// The runtime recovers panics as well, so a program survives without it; but a
// panic that only the runtime sees has passed all middleware by, and is retried
// by the queue's own policy, without backoff and without an attempt limit.
//
// A runtime.Goexit is not a panic and passes through, and what the Go runtime
// itself throws, such as a concurrent map write, cannot be recovered by anyone.
//
// # Position
//
// Around whatever may panic, and inside whatever should see it. The standard
// stack has it twice: outermost, so that no middleware's own panic escapes, and
// inside backoff, around the handler. With the outer one alone, a panic crosses
// otel, log, breaker, idempotency and backoff as a panic: each releases what it
// holds, but none can put a delay or a verdict on it.
package recoverer

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// Config says who receives panics. The zero Config reports none.
type Config struct {
	// Logger gets one record at level Error for each panic, with its stack. Nil
	// means slog.Default(). The stack is in the error as well.
	Logger *slog.Logger

	// OnPanic is called with each panic, concurrently, before the error is
	// returned. Nil is not called.
	OnPanic func(ctx context.Context, m *handler.Message, p *handler.PanicError)
}

// New returns the middleware. A nil config reports none.
func New(config *Config) handler.Middleware {
	var c Config
	if config != nil {
		c = *config
	}
	c.Logger = invoke.Logger(c.Logger)
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = c.report(ctx, m, v)
				}
			}()
			return next.Handle(ctx, m)
		})
	}
}

// report is called by the function that recovers, so that the stack still shows
// the place of the panic.
func (c *Config) report(ctx context.Context, m *handler.Message, v any) error {
	p := &handler.PanicError{Value: v, Stack: debug.Stack()}
	p.FirstReport() // it is logged here, so not by the runtime
	c.Logger.LogAttrs(ctx, slog.LevelError, "handler panicked",
		slog.String("queue", m.Origin().Queue),
		slog.String("message_id", m.ID),
		slog.Int("attempt", m.Attempt),
		slog.String("error", p.Error()),
		slog.String("stack", string(p.Stack)))
	if c.OnPanic != nil {
		_ = invoke.Do(func() { c.OnPanic(ctx, m, p) })
	}
	return p
}
