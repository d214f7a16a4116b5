package log_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/log"
)

func Example() {
	// Times are left out to make the output the same each time.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{}
			}
			return a
		},
	}))
	charge := handler.HandlerFunc(func(context.Context, *handler.Message) error {
		return handler.RetryAfter(30*time.Second, errors.New("gateway is busy"))
	})
	h := handler.Chain(charge, log.New(&log.Config{Logger: logger}))
	m := &handler.Message{ID: "m1", Attempt: 2}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	_ = h.Handle(context.Background(), m)
	// Output:
	// level=WARN msg="message handled" queue=orders message_id=m1 attempt=2 verdict=retry retry_delay=30s error="retry after 30s: gateway is busy"
}
