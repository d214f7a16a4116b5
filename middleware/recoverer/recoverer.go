// Package recoverer is the middleware that turns a handler's panic into an error,
// a *handler.PanicError, so that outer middleware sees an ordinary failure: a
// span gets its status, a breaker counts it, backoff delays the retry. (The
// package is not called recover because that would hide the built-in function
// wherever it is imported.)
//
// The runtime recovers panics as well, so a program survives without it. But a
// panic that only the runtime recovers has bypassed all middleware: the message
// is retried by the queue's own policy, without backoff and without an attempt
// limit.
//
// A runtime.Goexit is not a panic and passes through. A fatal error of the Go
// runtime, such as a concurrent map write, cannot be recovered.
//
// # Position
//
// Outside everything that may panic, and inside everything that should see the
// error. The standard stack has it twice: outermost, so that no middleware's
// own panic escapes, and inside backoff, around the handler. With only the
// outer one, a panic crosses otel, log, breaker, idempotency and backoff as a
// panic: each releases its resources, but none can set a delay or a verdict.
package recoverer

import (
	"context"
	"log/slog"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
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
	c := setting.Copy(config)
	c.Logger = invoke.Logger(c.Logger)
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			p, err := invoke.Call(ctx, next, m)
			if p != nil {
				c.report(ctx, m, p)
			}
			return err
		})
	}
}

func (c *Config) report(ctx context.Context, m *handler.Message, p *handler.PanicError) {
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
}
