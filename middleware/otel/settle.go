package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// settle makes the span "settle QUEUE" of a verdict that was carried out, or
// could not be. Its parent is the span that created the message, which it is also
// linked to. Verdicts are carried out in batches, so that there is no time to tell
// of a single one: the span has the moment at which it was done. A verdict for which
// no request was made, as in a Lambda, has none.
func (t *Telemetry) settle(ctx context.Context, l *labels, e handler.Event) {
	if e.Message == nil || e.Answered {
		return
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(l.settle...)}
	if creation := t.extract(ctx, e.Message); creation.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: creation}))
		ctx = trace.ContextWithRemoteSpanContext(ctx, creation)
	}
	now := time.Now()
	_, span := t.tracer.Start(ctx, "settle "+l.queue, append(options, trace.WithTimestamp(now))...)
	if span.IsRecording() {
		span.SetAttributes(verdictKey.String(e.Action.String()))
		if e.Message.ID != "" {
			span.SetAttributes(semconv.MessagingMessageID(e.Message.ID))
		}
		if e.Err != nil {
			span.SetAttributes(errorType(e.Err))
			span.SetStatus(codes.Error, invoke.Text(e.Err))
		}
	}
	span.End(trace.WithTimestamp(now))
}
