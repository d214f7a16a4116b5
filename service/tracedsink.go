package service

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A tracedSink calls a telemetry hook around each request.
type tracedSink struct {
	drivers.Sink
	hook func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error
}

// Send sends within the hook.
func (s *tracedSink) Send(ctx context.Context, ms []*handler.Message) []error {
	return s.hook(ctx, ms, s.Sink.Send)
}
