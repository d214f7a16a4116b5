package route

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// limited is a handler whose context ends after a time.
type limited struct {
	next    handler.Handler
	timeout time.Duration
}

// Handle calls the handler.
func (l *limited) Handle(ctx context.Context, m *handler.Message) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return l.next.Handle(ctx, m)
}
