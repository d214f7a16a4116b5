package invoke

import (
	"context"
	"fmt"
	"log/slog"
	"os"
)

// Logger returns l for use by a runtime: if its handler panics or ends its
// goroutine, the record goes to standard error instead, and the runtime
// continues. A nil l is slog.Default(). Logger of a logger that it returned is
// the same.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		l = slog.Default() //nolint:forbidigo // what a nil Logger means, as in net/http
	}
	h := l.Handler()
	if _, ok := h.(logHandler); ok {
		return l
	}
	return slog.New(logHandler{h})
}

// TypeName returns the type of v, for a log.
func TypeName(v any) string { return fmt.Sprintf("%T", v) }

// logHandler calls another slog.Handler. Which attributes and groups belong to a
// record that could not be handled is lost: the handler that keeps them is the
// one that failed.
type logHandler struct{ next slog.Handler }

var _ slog.Handler = logHandler{}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	if err := DoApart(func() { enabled = h.next.Enabled(ctx, level) }); err != nil {
		return level >= slog.LevelWarn
	}
	return enabled
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	failed := DoApart(func() { err = h.next.Handle(ctx, r.Clone()) })
	if failed == nil {
		return err
	}
	r = r.Clone()
	r.AddAttrs(slog.String("logger_failed", Text(failed)))
	last := slog.NewTextHandler(os.Stderr, nil)
	if DoApart(func() { err = last.Handle(ctx, r) }) != nil {
		// A value of the record is what panics.
		bare := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		bare.AddAttrs(slog.String("logger_failed", Text(failed)))
		err = last.Handle(ctx, bare)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := h.next
	if DoApart(func() { next = h.next.WithAttrs(attrs) }) != nil || next == nil {
		next = h.next
	}
	return logHandler{next}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	next := h.next
	if DoApart(func() { next = h.next.WithGroup(name) }) != nil || next == nil {
		next = h.next
	}
	return logHandler{next}
}
