// Package log is the middleware that writes one structured record (log/slog) for
// each handled message: the queue, the message's ID, attempt and group, how long
// it took, the verdict, the delay of a retry, and the error.
//
//	records := log.New(&log.Config{Logger: slog.Default()})
//	h := handler.Chain(charge, records)
//
// It never writes bodies or attributes. The handler writes the text of its
// errors: if it quotes the message, so does the log record.
//
// # Position
//
// Inside otel, so that a slog handler finds the trace in the context, and
// outside everything that makes or changes a verdict, so that the record shows
// the final verdict. Inside backoff, it would log the bare error without its
// delay, and not that the attempt was the last; inside idempotency, it would not
// log duplicates. It logs a panic and lets it pass.
package log

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// maxError is how many bytes of an error's text are written.
const maxError = 1 << 10

// Config configures the log. The zero Config writes to slog.Default().
type Config struct {
	// Logger gets the records. Nil means slog.Default().
	Logger *slog.Logger

	// Level gives the level of a record by the handler's error, nil for an ack.
	// It is called concurrently. Nil means [DefaultLevel].
	Level func(err error) slog.Level

	// SampleAcks writes only one in so many of the messages that were acked.
	// Zero means all. Everything else is always written.
	SampleAcks int
}

// DefaultLevel is Debug for an ack and for a message that was put off
// ([handler.ErrPostponed]), Error for a rejection, Warn for the rest.
func DefaultLevel(err error) slog.Level {
	switch v := invoke.VerdictOf(err); {
	case v.Action == handler.ActionAck, invoke.Is(err, handler.ErrPostponed):
		return slog.LevelDebug
	case v.Action == handler.ActionDeadLetter:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// New returns the middleware. A nil config is the zero Config.
func New(config *Config) handler.Middleware {
	var c Config
	if config != nil {
		c = *config
	}
	c.Logger = invoke.Logger(c.Logger)
	w := &writer{own: c.Level == nil}
	if w.own {
		c.Level = DefaultLevel
	}
	w.config = c
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			start := time.Now()
			returned := false
			defer func() {
				if !returned {
					w.panicked(ctx, m, time.Since(start))
				}
			}()
			err := next.Handle(ctx, m)
			returned = true
			took := time.Since(start)
			w.record(ctx, m, err, took)
			return err
		})
	}
}

type writer struct {
	config Config
	own    bool // Level is DefaultLevel
	acks   atomic.Uint64
}

// record writes what became of m. That never changes a verdict: a function of the user's
// may panic, or end its goroutine, which is then not the handler's. The goroutine is
// spared if none of them is called but the logger, which is guarded by itself.
func (w *writer) record(ctx context.Context, m *handler.Message, err error, took time.Duration) {
	if w.own && err == nil {
		_ = invoke.Do(func() { w.handled(ctx, m, err, took) })
		return
	}
	_ = invoke.DoApart(func() { w.handled(ctx, m, err, took) })
}

func (w *writer) handled(ctx context.Context, m *handler.Message, err error, took time.Duration) {
	lost := invoke.Is(context.Cause(ctx), handler.ErrLeaseLost)
	level := w.config.Level(err)
	if lost {
		level = max(level, slog.LevelWarn)
	}
	if !w.config.Logger.Enabled(ctx, level) {
		return
	}
	if err == nil && !lost && w.config.SampleAcks > 1 && w.acks.Add(1)%uint64(w.config.SampleAcks) != 1 {
		return
	}
	v := invoke.VerdictOf(err)
	attrs := make([]slog.Attr, 0, 10)
	attrs = appendMessage(attrs, m, took)
	attrs = append(attrs, slog.String("verdict", v.Action.String()))
	if v.Delayed {
		attrs = append(attrs, slog.Duration("retry_delay", v.Delay))
	}
	if invoke.Is(err, handler.ErrPostponed) {
		attrs = append(attrs, slog.Bool("postponed", true))
	}
	if lost {
		// The verdict is not carried out: the message may be elsewhere by now.
		attrs = append(attrs, slog.Bool("lease_lost", true))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", cut(invoke.Text(err))))
	}
	w.config.Logger.LogAttrs(ctx, level, "message handled", attrs...)
}

func (w *writer) panicked(ctx context.Context, m *handler.Message, took time.Duration) {
	w.config.Logger.LogAttrs(ctx, slog.LevelError, "handler did not return", appendMessage(nil, m, took)...)
}

func appendMessage(attrs []slog.Attr, m *handler.Message, took time.Duration) []slog.Attr {
	attrs = append(attrs,
		slog.String("queue", m.Origin().Queue),
		slog.String("message_id", m.ID),
		slog.Int("attempt", m.Attempt))
	if m.Group != "" {
		attrs = append(attrs, slog.String("group", m.Group))
	}
	return append(attrs, slog.Duration("duration", took))
}

// cut shortens a text to maxError bytes, not in the middle of a character.
func cut(text string) string {
	if len(text) <= maxError {
		return text
	}
	end := maxError
	for end > maxError-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
